"""Every Redis key: its name and how long it lives."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING

from maicivy.periods import Period

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "analytics:"
EPOCH = "analytics:epoch"
CHANNEL = "analytics:realtime"
CHANGED = "analytics:changed"
ACTIVE = "analytics:realtime:visitors"
THEMES = "analytics:themes:top"
UNIQUE_VISITORS = "analytics:visitors:unique:"
RATE_LIMIT = "analytics:places:"
SCRATCH = "analytics:scratch:"

TOTAL_EVENTS = "total_events"
LETTERS = "letters_generated"

ACTIVE_SECONDS = 300
SCRATCH_SECONDS = 120
MAX_THEMES = 1000

_DAYS_KEPT = {Period.DAY: 90, Period.WEEK: 365, Period.MONTH: 365}


@lru_cache(maxsize=1024)
def unique_visitors(period: Period, start: dt.date) -> str:
    """Return the key of the HyperLogLog of the unique visitors of a period."""
    return f"{UNIQUE_VISITORS}{period}:{period.key(start)}"


@lru_cache(maxsize=1024)
def stat(period: Period, start: dt.date, name: str) -> str:
    """Return the key of the counter `name` of a period."""
    return f"analytics:stats:{period}:{period.key(start)}:{name}"


@lru_cache(maxsize=1024)
def ttl_seconds(period: Period, start: dt.date, today: dt.date) -> int:
    """Return how long a key of the period lives when written today.

    The full time while the period is open; of a closed one what is left, counted from its last
    day. Zero or less: no longer worth writing.
    """
    last_day = period.end(start) - dt.timedelta(days=1)
    age = max(today - last_day, dt.timedelta())
    return int((dt.timedelta(days=_DAYS_KEPT[period]) - age).total_seconds())


def oldest_kept(period: Period, today: dt.date) -> dt.date:
    """Return the first day of the oldest period whose keys are still alive today."""
    return period.start(today - dt.timedelta(days=_DAYS_KEPT[period] - 1))


def current(today: dt.date) -> Iterable[tuple[Period, dt.date]]:
    """Yield the open day, week and month with their first days."""
    for period in Period:
        yield period, period.start(today)
