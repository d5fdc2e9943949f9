"""Whole tables to take away: visitors and letters by day, themes, and every single event."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from maicivy.periods import ONE_DAY, day_start, format_instant, local_day
from maicivy.reports.breakdown import THEMES, Question, breakdown
from maicivy.reports.span import Cut

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from maicivy.reports.source import Source
    from maicivy.reports.span import Span
    from maicivy.reports.timeline import PublicId

    Rows = list[dict[str, Any]]

MOST_THEMES = 100_000
ONE_HOUR = dt.timedelta(hours=1)

COLUMNS = {
    "visitors": (
        "date",
        "visitors",
        "new_visitors",
        "visits",
        "bounces",
        "page_views",
        "events",
        "letters",
    ),
    "themes": ("theme", "views", "visitors"),
    "letters": ("date", "motivation", "anti_motivation"),
    "events": (
        "id",
        "created_at",
        "visitor_id",
        "event_type",
        "page_url",
        "referrer",
        "session_duration",
        "event_data",
    ),
}


async def visitors(source: Source, span: Span) -> AsyncGenerator[Rows]:
    """Yield the numbers of every day of the span."""
    await source.visits.catch_up()
    rows = await source.postgres.fetch("select_days_for_export", span.first, span.last)
    yield [{"date": row["day"].isoformat(), **_without_day(row)} for row in rows]


async def letters(source: Source, span: Span) -> AsyncGenerator[Rows]:
    """Yield the letters of every day of the span by kind."""
    rows = await source.postgres.fetch("select_letters", span.first, span.last)
    yield [{"date": row["day"].isoformat(), **_without_day(row)} for row in rows]


async def themes(source: Source, span: Span, least_visitors: int) -> AsyncGenerator[Rows]:
    """Yield the themes that were viewed in the span."""
    cut = Cut(MOST_THEMES, least_visitors=least_visitors)
    yield (await breakdown(source, Question(THEMES, span), cut)).rows


async def events(source: Source, span: Span, public_id: PublicId) -> AsyncGenerator[Rows]:
    """Yield the events of the span, oldest first, a thousand at a time.

    An hour is one transaction, so that whoever reads slowly holds none for long.
    """
    start = day_start(span.first, source.zone)
    end = min(day_start(span.last + ONE_DAY, source.zone), source.clock() + ONE_HOUR)
    while start < end:
        until = min(start + ONE_HOUR, end)
        async for rows in source.postgres.stream("select_events_between", start, until):
            yield [_event(row, source, public_id) for row in rows]
        start = until


def _event(row: Any, source: Source, public_id: PublicId) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "created_at": format_instant(row["created_at"]),
        "visitor_id": str(public_id(row["visitor_id"], local_day(row["created_at"], source.zone))),
        "event_type": row["event_type"],
        "page_url": row["page_url"] or "",
        "referrer": row["referrer"] or "",
        "session_duration": row["session_duration"],
        "event_data": row["event_data"] or "{}",
    }


def _without_day(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "day"}
