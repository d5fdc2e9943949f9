"""`/export/…`: whole tables as a download, sent as they are read."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from maicivy.errors import Unavailable
from maicivy.reports import exports
from maicivy.web import params
from maicivy.web.access import least_visitors
from maicivy.web.insights import today
from maicivy.web.keys import EXPORTS, KEYRING, SOURCE
from maicivy.web.tables import stream, wants_csv

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from maicivy.reports.span import Span


async def get_export(request: web.Request) -> web.StreamResponse:
    """Answer `GET /export/visitors`, `/themes`, `/letters` and `/events`."""
    what = request.match_info["what"]
    if what not in exports.COLUMNS:
        raise web.HTTPNotFound
    most = params.RAW_DAYS if what == "events" else params.ROLLUP_DAYS
    span = params.span(request, today(request), most)
    name = f"{what}-{span.first}-{span.last}"
    with _one_of_few(request):
        chunks = _chunks(request, what, span)
        if wants_csv(request):
            return await stream(request, exports.COLUMNS[what], chunks, f"{name}.csv")
        return await _send_json(request, chunks, f"{name}.json")


@contextlib.contextmanager
def _one_of_few(request: web.Request) -> Iterator[None]:
    """Take one of the few places; raises `Unavailable`: each may hold a connection for minutes."""
    places = request.app[EXPORTS]
    if not places.take():
        raise Unavailable("Too many exports are being made; try again shortly.", code="busy")
    try:
        yield
    finally:
        places.give_back()


def _chunks(request: web.Request, what: str, span: Span) -> AsyncGenerator[list[dict[str, Any]]]:
    app = request.app
    if what == "events":
        return exports.events(app[SOURCE], span, app[KEYRING].public_id)
    if what == "themes":
        return exports.themes(app[SOURCE], span, least_visitors(request))
    return {"visitors": exports.visitors, "letters": exports.letters}[what](app[SOURCE], span)


async def _send_json(
    request: web.Request, chunks: AsyncGenerator[list[dict[str, Any]]], filename: str
) -> web.StreamResponse:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{filename}"',
        "Cache-Control": "no-cache",
    }
    response = web.StreamResponse(headers=headers)
    async with contextlib.aclosing(chunks):
        first: list[dict[str, Any]] = await anext(chunks, [])
        await response.prepare(request)
        await response.write(b'{"success": true, "data": [' + _joined(first))
        is_empty = not first
        async for rows in chunks:
            await response.write(_joined(rows) if is_empty else b", " + _joined(rows))
            is_empty = False
    await response.write(b"]}")
    await response.write_eof()
    return response


def _joined(rows: list[dict[str, Any]]) -> bytes:
    return ", ".join(map(json.dumps, rows)).encode()
