"""The headline numbers of a span of days: visitors, visits, events, letters, and what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maicivy.periods import day_start
from maicivy.reports.span import Filters, Span, ratio

if TYPE_CHECKING:
    from maicivy.reports.source import Source


async def summary(
    source: Source, span: Span, filters: Filters, *, compared: bool = False
) -> dict[str, Any]:
    """Return the totals of `span`; with `compared` those of the span before as `previous`."""
    await source.visits.catch_up()
    totals = await _totals(source, span, filters)
    if compared:
        totals["previous"] = await _totals(source, span.previous(), filters)
    return totals


async def _totals(source: Source, span: Span, filters: Filters) -> dict[str, Any]:
    if filters.given():
        start = day_start(span.first, source.zone)
        [row] = await source.scan("select_filtered_summary", span.first, span.last, *filters, start)
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
