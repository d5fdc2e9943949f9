"""The numbers of now and of the open periods: live, by period, letters, themes."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

from maicivy.errors import StorageUnavailable
from maicivy.periods import Period, day_start, local_day
from maicivy.storage.keys import ACTIVE_SECONDS
from maicivy.storage.realtime import Snapshot

if TYPE_CHECKING:
    from maicivy.reports.source import Source


def conversion_rate(letters: int, unique_visitors: int) -> float:
    """Return letters per unique visitor to 4 decimals; 0.0 without visitors."""
    return round(letters / unique_visitors, 4) if unique_visitors else 0.0


def snapshot_fields(snapshot: Snapshot) -> dict[str, int]:
    """Return the live numbers as the contract names them."""
    values = dataclasses.asdict(snapshot)
    del values["day"]
    return values


async def realtime(source: Source) -> Snapshot:
    """Return the live numbers of now; raises `StorageUnavailable` when nobody can say."""
    now = source.clock()
    with contextlib.suppress(StorageUnavailable):
        snapshot = await source.realtime.snapshot(now)
        if snapshot is not None:
            return snapshot
    today = local_day(now, source.zone)
    active_since = now - dt.timedelta(seconds=ACTIVE_SECONDS)
    count = source.postgres.fetch_value
    events, letters = await _period_from_postgres(source, Period.DAY, today)
    return Snapshot(
        day=today,
        current_visitors=await count("count_active_visitors", active_since),
        unique_today=await _unique_from_postgres(source, Period.DAY, today),
        total_events=events,
        letters_today=letters,
        timestamp=int(now.timestamp()),
    )


async def by_period(source: Source, period: Period) -> dict[str, Any]:
    """Return the totals of the open day, week or month."""
    start = period.start(local_day(source.clock(), source.zone))
    events, letters = await _period(source, period, start)
    unique = await unique_visitors(source, period, start)
    return {
        "period": period.value,
        "period_key": period.key(start),
        "total_events": events,
        "letters_generated": letters,
        "unique_visitors": unique,
        "conversion_rate": conversion_rate(letters, unique),
    }


async def letters(source: Source, period: Period) -> dict[str, Any]:
    """Return the letters of the open period by kind, and how many there were each day so far."""
    today = local_day(source.clock(), source.zone)
    start = period.start(today)
    days = await source.postgres.fetch("select_letters", start, today)
    motivation = sum(row["motivation"] for row in days)
    anti_motivation = sum(row["anti_motivation"] for row in days)
    unique = await unique_visitors(source, period, start)
    return {
        "period": period.value,
        "total": motivation + anti_motivation,
        "motivation": motivation,
        "anti_motivation": anti_motivation,
        "unique_visitors": unique,
        "conversion_rate": conversion_rate(motivation + anti_motivation, unique),
        "history": [
            {"date": row["day"].isoformat(), "count": row["motivation"] + row["anti_motivation"]}
            for row in days
        ],
    }


async def themes(source: Source, limit: int) -> list[dict[str, Any]]:
    """Return the `limit` most viewed CV themes, most viewed first."""
    ranking = None
    with contextlib.suppress(StorageUnavailable):
        ranking = await source.realtime.themes(limit)
    if ranking is None:
        rows = await source.postgres.fetch("select_themes", limit)
        ranking = [(row["theme"], row["views"]) for row in rows]
    return [{"theme": theme, "views": views} for theme, views in ranking]


async def unique_visitors(source: Source, period: Period, start: dt.date) -> int:
    """Return the unique visitors of an open period: Redis' estimate, else the exact number."""
    with contextlib.suppress(StorageUnavailable):
        estimate = await source.realtime.unique_visitors(period, start)
        if estimate is not None:
            return estimate
    return await _unique_from_postgres(source, period, start)


async def _unique_from_postgres(source: Source, period: Period, start: dt.date) -> int:
    span = day_start(start, source.zone), day_start(period.end(start), source.zone)
    return int(await source.postgres.fetch_value("count_visitors_between", *span))


async def _period(source: Source, period: Period, start: dt.date) -> tuple[int, int]:
    with contextlib.suppress(StorageUnavailable):
        counters = await source.realtime.period(period, start)
        if counters is not None:
            return counters
    return await _period_from_postgres(source, period, start)


async def _period_from_postgres(source: Source, period: Period, start: dt.date) -> tuple[int, int]:
    rows = await source.postgres.fetch("select_period_totals", start, start, start)
    return next(
        ((row["events"], row["letters"]) for row in rows if row["period"] == period), (0, 0)
    )
