"""Query parameters: each at most once, in range, and never silently replaced."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from maicivy.errors import InvalidRequest
from maicivy.periods import Period
from maicivy.reports.span import Cut, Filters, Span, skipped_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

MAX_TEXT_LENGTH = 500
TEXT = r"^[^\x00-\x1f\x7f]*$"

# As far back as rollups go, and as rows do.
ROLLUP_DAYS = 400
RAW_DAYS = 90

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_TEXT = re.compile(TEXT)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def single(request: web.Request, name: str) -> str | None:
    """Return the parameter `name`, or None; given twice it is an error."""
    values = request.query.getall(name, [])
    if len(values) > 1:
        raise _invalid(name, "must be given once")
    return values[0] if values else None


def integer(request: web.Request, name: str, default: int, lowest: int, highest: int) -> int:
    """Return a whole number from `lowest` to `highest`."""
    text = single(request, name)
    if text is None:
        return default
    if not _INTEGER.fullmatch(text) or not lowest <= int(text) <= highest:
        raise _invalid(name, f"must be a whole number from {lowest} to {highest}")
    return int(text)


def period(request: web.Request) -> Period:
    """Return the required parameter `period`."""
    value = single(request, "period")
    if value is None:
        raise InvalidRequest(
            "The parameter period is required: day, week or month.", code="missing_parameter"
        )
    if value not in list(Period):
        raise _invalid("period", "must be day, week or month")
    return Period(value)


def text(request: web.Request, name: str) -> str | None:
    """Return a text of 1 to 500 characters, or None."""
    value = single(request, name)
    if value is None:
        return None
    fits = 0 < len(value) <= MAX_TEXT_LENGTH and _TEXT.fullmatch(value)
    if not fits or _SURROGATE.search(value):
        raise _invalid(name, f"must be 1 to {MAX_TEXT_LENGTH} characters without control ones")
    return value


def choice(request: web.Request, name: str, values: Sequence[str], default: str | None) -> str:
    """Return one of `values`; without a `default` it has to be given."""
    value = single(request, name)
    listed = f"{', '.join(values[:-1])} or {values[-1]}" if len(values) > 1 else values[0]
    if value is None:
        if default is None:
            raise InvalidRequest(
                f"The parameter {name} is required: {listed}.", code="missing_parameter"
            )
        return default
    if value not in values:
        raise _invalid(name, f"must be {listed}")
    return value


def span(request: web.Request, today: dt.date, most: int = ROLLUP_DAYS) -> Span:
    """Return the open `period`, or the days `from` and `to`, at most `most` of them."""
    first, last = date(request, "from"), date(request, "to")
    if first is None and last is None:
        return Span(period(request).start(today), today)
    if single(request, "period") is not None:
        raise _invalid("period", "cannot be used with from and to")
    if first is None or last is None:
        missing = "from" if first is None else "to"
        raise InvalidRequest(
            f"The parameter {missing} is required: a day such as 2026-11-26.",
            code="missing_parameter",
        )
    if last > today:
        raise _invalid("to", f"must not be after today, {today.isoformat()}")
    if first > last:
        raise _invalid("from", "must not be after to")
    asked = Span(first, last)
    if asked.days > most:
        raise _invalid("from", f"must be at most {most} days before to")
    return asked


def date(request: web.Request, name: str) -> dt.date | None:
    """Return a day such as 2026-11-26, or None."""
    value = single(request, name)
    if value is None:
        return None
    try:
        if _DATE.fullmatch(value):
            return dt.date.fromisoformat(value)
    except ValueError:
        pass
    raise _invalid(name, "must be a day such as 2026-11-26")


def filters(request: web.Request) -> Filters:
    """Return the filters, each a text."""
    return Filters(*(text(request, name) for name in Filters._fields))


def cut(request: web.Request, least_visitors: int, usual: int = 10, most: int = 100) -> Cut:
    """Return which part of a list is asked for by `limit` and `cursor`."""
    cursor = single(request, "cursor")
    skipped = skipped_of(cursor) if cursor is not None else 0
    return Cut(integer(request, "limit", usual, 1, most), skipped, least_visitors)


def compared(request: web.Request) -> bool:
    """Say whether `compare=previous` is asked for."""
    return single(request, "compare") is not None and bool(
        choice(request, "compare", ("previous",), None)
    )


def _invalid(name: str, rule: str) -> InvalidRequest:
    return InvalidRequest(f"The parameter {name} {rule}.", code="invalid_parameter")
