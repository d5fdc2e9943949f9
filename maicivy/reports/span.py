"""What a report is asked for: local days, filters, which part of a list. All pure."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from dataclasses import dataclass
from typing import NamedTuple

from maicivy.errors import InvalidRequest
from maicivy.periods import ONE_DAY

OTHER = "(other)"
MAX_SKIPPED = 100_000


@dataclass(frozen=True, slots=True)
class Span:
    """Local days from `first` to `last`, both included."""

    first: dt.date
    last: dt.date

    @property
    def days(self) -> int:
        """How many days these are."""
        return (self.last - self.first).days + 1

    def previous(self) -> Span:
        """Return the span of the same length that ends the day before."""
        length = dt.timedelta(days=self.days)
        return Span(self.first - length, self.last - length)

    def fields(self) -> dict[str, str]:
        """Return the span as answers tell it."""
        return {"from": self.first.isoformat(), "to": self.last.isoformat()}

    def __iter__(self) -> SpanDays:
        return SpanDays(self.first, self.last)


class SpanDays:
    """The days of a span, one after the other."""

    def __init__(self, first: dt.date, last: dt.date) -> None:
        self._next, self._last = first, last

    def __iter__(self) -> SpanDays:
        return self

    def __next__(self) -> dt.date:
        if self._next > self._last:
            raise StopIteration
        day, self._next = self._next, self._next + ONE_DAY
        return day


class Filters(NamedTuple):
    """What narrows a report, None for what does not; in the order of the statements' parameters.

    The first four and `profile` keep visits; `path`, `event_type` and `theme` keep events, and a
    visit counts when one of its events is kept.
    """

    source: str | None = None
    browser: str | None = None
    os: str | None = None
    device: str | None = None
    path: str | None = None
    event_type: str | None = None
    theme: str | None = None
    profile: str | None = None

    @property
    def on_visits(self) -> tuple[str | None, ...]:
        """Those that keep visits, in the order of the statements that know no others."""
        return self.source, self.browser, self.os, self.device, self.profile

    @property
    def are_on_events(self) -> bool:
        """Whether any of them keeps events."""
        return (self.path, self.event_type, self.theme) != (None, None, None)

    def given(self) -> dict[str, str]:
        """Return those that narrow anything, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}


NO_FILTERS = Filters()


@dataclass(frozen=True, slots=True)
class Cut:
    """Which part of a list: how many rows, after how many, and how many visitors one needs."""

    limit: int
    skipped: int = 0
    least_visitors: int = 1

    def next_cursor(self, found: int) -> str | None:
        """Return where the next rows begin, if one more than `limit` was found."""
        if found <= self.limit:
            return None
        return base64.urlsafe_b64encode(f"after:{self.skipped + self.limit}".encode()).decode()


def skipped_of(cursor: str) -> int:
    """Return how many rows a cursor skips; raises `InvalidRequest` for what is none."""
    try:
        name, _, number = base64.b64decode(cursor, altchars=b"-_", validate=True).partition(b":")
    except (ValueError, binascii.Error):
        name, number = b"", b""
    if name != b"after" or not number.isdigit() or len(number) > 6 or int(number) > MAX_SKIPPED:
        raise InvalidRequest(
            "The parameter cursor must be the next_cursor of an earlier answer.",
            code="invalid_parameter",
        )
    return int(number)


def ratio(part: int, whole: int, digits: int = 4) -> float | None:
    """Return `part` of `whole`, rounded; None of nothing."""
    return round(part / whole, digits) if whole else None
