"""Query parameters: each at most once, in range, and never silently replaced."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from maicivy.errors import InvalidRequest
from maicivy.periods import Period

if TYPE_CHECKING:
    from aiohttp import web

MAX_TEXT_LENGTH = 500
TEXT = r"^[^\x00-\x1f\x7f]*$"

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_TEXT = re.compile(TEXT)
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


def _invalid(name: str, rule: str) -> InvalidRequest:
    return InvalidRequest(f"The parameter {name} {rule}.", code="invalid_parameter")
