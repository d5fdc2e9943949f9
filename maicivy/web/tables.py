"""Rows as an answer: JSON in the contract's shape, or CSV for those who ask for it."""

from __future__ import annotations

import contextlib
import csv
import io
from typing import TYPE_CHECKING, Any

from aiohttp import web

from maicivy.reports.answers import answer_of, named
from maicivy.web import params
from maicivy.web.ready import report

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

CSV = "text/csv; charset=utf-8"
FORMATS = ("json", "csv")
_RISKY = ("=", "+", "-", "@", "\t", "\r")


def wants_csv(request: web.Request) -> bool:
    """Say whether `format=csv` or `Accept: text/csv` asks for CSV; the parameter counts first."""
    if params.single(request, "format") is not None:
        return params.choice(request, "format", FORMATS, None) == "csv"
    return request.headers.get("Accept", "").partition(";")[0].strip().lower() == "text/csv"


def table(
    request: web.Request,
    rows: list[dict[str, Any]],
    meta: dict[str, Any],
    columns: Sequence[str],
    *,
    single: bool = False,
) -> web.StreamResponse:
    """Return `rows` with `meta`, or as CSV with a first line of `columns`.

    `single` says that the only row is the data itself.
    """
    if not wants_csv(request):
        return report(request, answer_of(rows[0] if single else rows, meta))
    body = _lines([dict(zip(columns, columns, strict=True)), *rows], columns)
    return report(request, named(rows, body), CSV)


async def stream(
    request: web.Request,
    columns: Sequence[str],
    chunks: AsyncGenerator[list[dict[str, Any]]],
    filename: str | None = None,
) -> web.StreamResponse:
    """Send CSV (RFC 4180) chunk by chunk; memory is bounded by one chunk."""
    response = web.StreamResponse(headers={"Content-Type": CSV, "Cache-Control": "no-cache"})
    if filename is not None:
        response.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    async with contextlib.aclosing(chunks):
        first: list[dict[str, Any]] = await anext(chunks, [])
        await response.prepare(request)
        await response.write(_lines([dict(zip(columns, columns, strict=True)), *first], columns))
        async for rows in chunks:
            await response.write(_lines(rows, columns))
    await response.write_eof()
    return response


def _lines(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows:
        flat = _flat(row)
        writer.writerow([_cell(flat.get(column)) for column in columns])
    return text.getvalue().encode()


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose `previous` numbers are columns of their own."""
    before = row.get("previous")
    if not isinstance(before, dict):
        return row
    return row | {f"previous_{name}": value for name, value in before.items()}


def _cell(value: Any) -> Any:
    """Return a value as spreadsheets read it: a text that they would run as a formula is quoted."""
    if isinstance(value, str) and value.startswith(_RISKY):
        return f"'{value}"
    return "" if value is None else value


def columns_of(rows: list[dict[str, Any]], usual: Sequence[str]) -> list[str]:
    """Return the columns of rows: those that they usually have, and what they are compared with."""
    before = rows[0].get("previous") if rows else None
    if isinstance(before, dict):
        return [*usual, *(f"previous_{name}" for name in before)]
    return [*usual, "previous"] if rows and "previous" in rows[0] else list(usual)
