"""What events of one type said of themselves: their properties, and the values of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maicivy.periods import ONE_DAY, day_start
from maicivy.reports.breakdown import list_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maicivy.reports.breakdown import Row, Rows
    from maicivy.reports.source import Source
    from maicivy.reports.span import Cut, Filters, Span
    from maicivy.storage.postgres import Record


async def properties(
    source: Source,
    of: tuple[str, str | None],
    asked: tuple[Span, Filters],
    cut: Cut,
    *,
    compared: bool = False,
) -> Rows:
    """Return the properties of a type of events, or the values of one of them, as text.

    `of` is the type and the property. The rows are as those of other lists.
    """
    event_type, name = of
    span, filters = asked

    async def select(days: Span, how: Sequence[Any]) -> list[Record]:
        start = day_start(days.first, source.zone)
        end = day_start(days.last + ONE_DAY, source.zone)
        parameters = event_type, start, end, *how, name
        if not filters.given():
            return await source.scan("select_properties", *parameters)
        more = days.first, days.last, *filters
        return await source.scan("select_filtered_properties", *parameters, *more)

    def fields(row: Record) -> Row:
        title = "property" if name is None else "value"
        return {title: row["name"], "visitors": row["visitors"], "events": row["events"]}

    if filters.given():
        await source.visits.catch_up()
    return await list_of(select, fields, span, cut, compared=compared)
