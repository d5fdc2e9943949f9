"""Redis keys: spelled as in the contract, and living as long as it says."""

from __future__ import annotations

import datetime as dt

from maicivy.periods import Period
from maicivy.storage import keys
from maicivy.storage.breaker import Breaker

DAY = dt.date(2025, 12, 8)


def test_spelling() -> None:
    assert keys.unique_visitors(Period.DAY, DAY) == "analytics:visitors:unique:day:2025-12-08"
    assert keys.unique_visitors(Period.WEEK, DAY) == "analytics:visitors:unique:week:2025-W50"
    month = Period.MONTH.start(DAY)
    assert keys.stat(Period.MONTH, month, keys.TOTAL_EVENTS) == (
        "analytics:stats:month:2025-12:total_events"
    )


def test_the_time_to_live_runs_from_the_end_of_the_period() -> None:
    day_seconds = 86_400
    monday = DAY

    def ttl_days(period: Period, start: dt.date, today: dt.date) -> float:
        return keys.ttl_seconds(period, start, today) / day_seconds

    assert ttl_days(Period.DAY, DAY, DAY) == 90
    assert ttl_days(Period.DAY, DAY, DAY + dt.timedelta(days=10)) == 80
    assert ttl_days(Period.DAY, DAY, DAY + dt.timedelta(days=90)) == 0
    assert ttl_days(Period.WEEK, monday, monday + dt.timedelta(days=6)) == 365
    assert ttl_days(Period.WEEK, monday, monday + dt.timedelta(days=7)) == 364
    assert ttl_days(Period.MONTH, dt.date(2025, 12, 1), dt.date(2026, 1, 1)) == 364


def test_the_oldest_period_that_is_kept_is_still_alive() -> None:
    for period in Period:
        oldest = keys.oldest_kept(period, DAY)
        assert keys.ttl_seconds(period, oldest, DAY) > 0
        before = period.start(oldest - dt.timedelta(days=1))
        assert keys.ttl_seconds(period, before, DAY) <= 0


def test_the_breaker_lets_one_caller_try() -> None:
    breaker = Breaker(retry_seconds=0)
    assert breaker.allow()
    breaker.failed()
    assert breaker.allow()
    slow = Breaker(retry_seconds=60)
    slow.failed()
    assert not slow.allow()
    slow._retry_at = 0
    assert slow.allow()
    assert not slow.allow()
    slow.succeeded()
    assert slow.allow()
