"""What events of one type said of themselves: their properties, and the values of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maicivy.periods import ONE_DAY, day_start
from maicivy.reports.breakdown import Rows

if TYPE_CHECKING:
    from maicivy.reports.source import Source
    from maicivy.reports.span import Cut, Span


async def properties(
    source: Source, event_type: str, name: str | None, span: Span, cut: Cut
) -> Rows:
    """Return the properties of the events, or the values of the one called `name`, as text."""
    start = day_start(span.first, source.zone)
    end = day_start(span.last + ONE_DAY, source.zone)
    asked = event_type, start, end, cut.least_visitors, cut.limit + 1, cut.skipped
    if name is None:
        found, title = await source.scan("select_properties", *asked), "property"
    else:
        found, title = await source.scan("select_property_values", *asked, name), "value"
    rows = [
        {title: row["name"], "visitors": row["visitors"], "events": row["events"]} for row in found
    ]
    return Rows(rows[: cut.limit], cut.next_cursor(len(found)))
