"""The headline numbers of a span of days: visitors, visits, events, letters, and what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maicivy.periods import ONE_DAY, day_start, local_day, same_time
from maicivy.reports.span import Filters, Span, ratio

if TYPE_CHECKING:
    import datetime as dt

    from maicivy.reports.source import Source


# How many totals of past times are kept: one a minute for each view of today.
MAX_PAST = 200


def comparable_until(source: Source, span: Span) -> dt.datetime | None:
    """Return until when the day before today is compared with today; None for any other span.

    A day that is not over is compared with the same part of the day before.
    """
    now = source.clock()
    today = local_day(now, source.zone)
    is_today = span.first == span.last == today
    return same_time(now, today - ONE_DAY, source.zone) if is_today else None


async def summary(
    source: Source,
    span: Span,
    filters: Filters,
    *,
    compared: bool = False,
    until: dt.datetime | None = None,
) -> dict[str, Any]:
    """Return the totals of `span`; with `compared` those of the span before as `previous`.

    `until` ends the span before early (`comparable_until`).
    """
    await source.visits.catch_up()
    totals = await _totals(source, span, filters)
    if compared:
        before = span.previous()
        if until is None:
            totals["previous"] = await _totals(source, before, filters)
        else:
            totals["previous"] = await _totals_until(source, before, filters, until)
    return totals


async def _totals_until(
    source: Source, span: Span, filters: Filters, until: dt.datetime
) -> dict[str, Any]:
    """Return the totals of a past time, which are kept: everybody asks for those of one minute."""
    asked = span, filters, until
    found = source.past.get(asked)
    if found is None:
        found = await _totals(source, span, filters, until)
        if len(source.past) >= MAX_PAST:
            source.past.clear()
        source.past[asked] = found
    return found.copy()


async def _totals(
    source: Source, span: Span, filters: Filters, until: dt.datetime | None = None
) -> dict[str, Any]:
    if filters.given() or until:
        start = day_start(span.first, source.zone)
        asked = span.first, span.last, *filters, start, until
        [row] = await source.scan("select_filtered_summary", *asked)
    else:
        [row] = await source.postgres.fetch("select_summary", span.first, span.last)
    visitors, visits, views = row["visitors"], row["visits"], row["page_views"]
    return {
        "visitors": visitors,
        "visits": visits,
        "events": row["events"],
        "page_views": views,
        "letters": row["letters"],
        "conversion_rate": ratio(row["letters"], visitors) or 0.0,
        "bounce_rate": ratio(row["bounces"], visits),
        "mean_duration_seconds": ratio(row["seconds"], visits, 1),
        "median_duration_seconds": row["median_seconds"],
        "pages_per_visit": ratio(views, visits, 2),
        "new_visitors": row["new_visitors"],
        "returning_visitors": visitors - row["new_visitors"],
    }
