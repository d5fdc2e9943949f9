"""Days, weeks and months in the configured zone, and the clock's arithmetic. All pure.

One timestamp decides every bucket of an event: `local_day` is the only way from an instant to a
day, and weeks and months follow from the day.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable
from secrets import randbits
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

Clock: TypeAlias = Callable[[], dt.datetime]

ONE_DAY = dt.timedelta(days=1)


def utc_now() -> dt.datetime:
    """Return the current instant; the clock that everything uses unless a test brings its own."""
    return dt.datetime.now(dt.UTC)


class Period(enum.StrEnum):
    """The three periods that numbers are kept for."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    def start(self, day: dt.date) -> dt.date:
        """Return the first day of the period that holds `day`; weeks begin on Monday (ISO 8601)."""
        if self is Period.WEEK:
            return day - dt.timedelta(days=day.weekday())
        return day.replace(day=1) if self is Period.MONTH else day

    def end(self, start: dt.date) -> dt.date:
        """Return the first day after the period that begins on `start`."""
        if self is Period.WEEK:
            return start + dt.timedelta(days=7)
        if self is Period.MONTH:
            return (start + dt.timedelta(days=31)).replace(day=1)
        return start + ONE_DAY

    def key(self, start: dt.date) -> str:
        """Return the period's name: `2025-12-08`, `2025-W50` or `2025-12`."""
        if self is Period.WEEK:
            year, week, _ = start.isocalendar()
            return f"{year:04d}-W{week:02d}"
        return start.strftime("%Y-%m") if self is Period.MONTH else start.isoformat()


def local_day(instant: dt.datetime, zone: ZoneInfo) -> dt.date:
    """Return the calendar day of `instant` in `zone`."""
    return instant.astimezone(zone).date()


def day_start(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    """Return the instant at which `day` begins in `zone`, in UTC.

    Where midnight does not exist (some zones change their clocks at midnight) this is the first
    instant of the day.
    """
    return _instant(dt.datetime.combine(day, dt.time.min), zone)


def same_time(now: dt.datetime, day: dt.date, zone: ZoneInfo) -> dt.datetime:
    """Return the instant of `day` at which clocks in `zone` show the minute that it is `now`."""
    time = now.astimezone(zone).time().replace(second=0, microsecond=0)
    return _instant(dt.datetime.combine(day, time), zone)


def next_run_at(now: dt.datetime, zone: ZoneInfo, hour: int = 2) -> dt.datetime:
    """Return the first instant after `now` at which a daily job is due, in UTC.

    The job is due once a day at `hour`:00 local time: when that time is skipped by a change of
    clocks, at the first instant after the gap; when it comes twice, at the first of the two.
    """
    day = local_day(now, zone)
    while True:
        due = _instant(dt.datetime.combine(day, dt.time(hour)), zone)
        if due > now:
            return due
        day += ONE_DAY


def last_run_due(now: dt.datetime, zone: ZoneInfo, hour: int = 2) -> dt.datetime:
    """Return the latest instant not after `now` at which the daily job was due, in UTC."""
    day = local_day(now, zone)
    while True:
        due = _instant(dt.datetime.combine(day, dt.time(hour)), zone)
        if due <= now:
            return due
        day -= ONE_DAY


def _instant(naive: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """Return the UTC instant of a local time; of a skipped one, the first instant after the gap."""
    local = naive.replace(tzinfo=zone, fold=0)
    instant = local.astimezone(dt.UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == naive:
        return instant
    # In a gap fold=0 uses the offset before it and fold=1 the one after it; the change happens
    # where the two readings of the clock meet.
    before = local.utcoffset() or dt.timedelta()
    low, high = instant - dt.timedelta(hours=24), instant
    while high - low > dt.timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def format_instant(instant: dt.datetime) -> str:
    """Return an instant as the contract writes it: `2025-12-08T12:34:56Z`."""
    return f"{instant.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


class Moment(NamedTuple):
    """An instant of whole milliseconds, the local day that it belongs to, and how it is written."""

    instant: dt.datetime
    milliseconds: int
    day: dt.date
    text: str

    @classmethod
    def of(cls, instant: dt.datetime, zone: ZoneInfo) -> Moment:
        """Return the millisecond of `instant` in `zone`."""
        whole = instant.replace(microsecond=instant.microsecond // 1000 * 1000)
        milliseconds = int(whole.timestamp() * 1000 + 0.5)
        return cls(whole, milliseconds, local_day(instant, zone), format_instant(instant))


class EventIds:
    """Makes UUIDs of version 7 (RFC 9562, section 5.7) that sort by time, then by their making.

    48 bits are milliseconds, 12 count, and 62 are random but stay the same until the clock goes
    back: no id comes twice, and ids made one after the other need little room on disk. One process
    may make 4096 in a millisecond.
    """

    def __init__(self) -> None:
        self._milliseconds = 0
        self._count = randbits(12)
        self._head = self._tail = ""

    def make(self, milliseconds: int) -> str:
        """Return the next id, which says so many milliseconds since 1970, as text."""
        self._count = count = (self._count + 1) & 0xFFF
        if milliseconds != self._milliseconds or not self._tail:
            self._go_to(milliseconds)
        return f"{self._head}{count:03x}{self._tail}"

    def _go_to(self, milliseconds: int) -> None:
        if milliseconds < self._milliseconds or not self._tail:
            random = f"{0b10 << 62 | randbits(62):016x}"
            self._tail = f"-{random[:4]}-{random[4:]}"
        self._milliseconds = milliseconds
        head = f"{milliseconds:012x}"
        self._head = f"{head[:8]}-{head[8:]}-7"
