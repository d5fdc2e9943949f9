"""Lists of values by their visitors: pages, sources, devices, events, themes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maicivy.reports.span import NO_FILTERS, OTHER, Cut, Filters, Span, ratio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from maicivy.reports.source import Source
    from maicivy.storage.postgres import Record

    Row = dict[str, Any]
    Select = Callable[[Span, Sequence[Any]], Awaitable[list[Record]]]


@dataclass(frozen=True, slots=True)
class Dimension:
    """What a list is of: its name in the rollups, the statement under filters, a row's fields."""

    name: str
    filtered: str
    fields: Callable[[Record], Row]


@dataclass(frozen=True, slots=True)
class Rows:
    """A part of a list, and where the next part begins (None at the end)."""

    rows: list[Row]
    next_cursor: str | None


def _page(row: Record) -> Row:
    return {
        "path": row["name"],
        "visitors": row["visitors"],
        "views": row["views"],
        "entries": row["entries"],
        "exits": row["exits"],
        "bounce_rate": ratio(row["bounces"], row["entries"]),
        "mean_seconds": ratio(row["seconds"], row["views"], 1) if row["seconds"] else None,
    }


def _visits(row: Record) -> Row:
    return {
        "name": row["name"],
        "visitors": row["visitors"],
        "visits": row["visits"],
        "bounce_rate": ratio(row["bounces"], row["visits"]),
        "mean_duration_seconds": ratio(row["seconds"], row["visits"], 1),
    }


def _events(row: Record) -> Row:
    return {"name": row["name"], "visitors": row["visitors"], "events": row["events"]}


def _themes(row: Record) -> Row:
    return {"theme": row["name"], "views": row["views"], "visitors": row["visitors"]}


PAGES = Dimension("path", "select_filtered_pages", _page)
EVENTS = Dimension("event_type", "select_filtered_facts", _events)
THEMES = Dimension("theme", "select_filtered_facts", _themes)
SOURCES = ("source", "utm_source", "utm_medium", "utm_campaign")
DEVICES = ("browser", "os", "device", "language", "screen")


def of_visits(name: str) -> Dimension:
    """Return one of the dimensions of visits, `SOURCES` and `DEVICES`."""
    return Dimension(name, "select_filtered_visits", _visits)


@dataclass(frozen=True, slots=True)
class Question:
    """A list that is asked for: of what, of which days, narrowed by what."""

    dimension: Dimension
    span: Span
    filters: Filters = NO_FILTERS


async def breakdown(source: Source, asked: Question, cut: Cut, *, compared: bool = False) -> Rows:
    """Return the rows of `cut` of a list."""
    await source.visits.catch_up()

    async def select(days: Span, how: Sequence[Any]) -> list[Record]:
        return await _select(source, dataclasses.replace(asked, span=days), how)

    return await list_of(select, asked.dimension.fields, asked.span, cut, compared=compared)


async def list_of(
    select: Select,
    fields: Callable[[Record], Row],
    span: Span,
    cut: Cut,
    *,
    compared: bool,
) -> Rows:
    """Return the rows of `cut`, most visitors first, those of too few visitors as one at the end.

    `select` takes the days, and how many visitors a row needs, the limit, how many to skip and
    which names to answer of (None for all). With `compared` each row has the numbers of the span
    before as `previous`: nulls where too few visitors had it then, and for the last row, which is
    of others then.
    """
    found = await select(span, (cut.least_visitors, cut.limit + 1, cut.skipped, None))
    shown = found[: cut.limit]
    rows = [fields(row) for row in shown]
    if compared:
        names = [row["name"] for row in shown if row["name"] != OTHER]
        then = await select(span.previous(), (cut.least_visitors, len(names) + 1, 0, names))
        earlier = {row["name"]: fields(row) for row in then if row["name"] != OTHER}
        for record, row in zip(shown, rows, strict=True):
            is_told = cut.least_visitors <= 1 and record["name"] != OTHER
            row["previous"] = _before(row, earlier.get(record["name"]), is_told=is_told)
    return Rows(rows, cut.next_cursor(len(found)))


def _before(row: Row, then: Row | None, *, is_told: bool) -> Row:
    if then is not None:
        return _numbers(then)
    return _nothing(row) if is_told else dict.fromkeys(_numbers(row))


def _numbers(row: Row) -> Row:
    return {name: value for name, value in row.items() if not isinstance(value, str)}


def _nothing(row: Row) -> Row:
    """Return what there was of something that was not: no visitors, and rates of nothing."""
    return {name: 0 if isinstance(value, int) else None for name, value in _numbers(row).items()}


async def _select(source: Source, asked: Question, how: Sequence[Any]) -> list[Record]:
    parameters = asked.dimension.name, asked.span.first, asked.span.last, *how
    filters = asked.filters
    if not filters.given():
        return await source.postgres.fetch("select_breakdown", *parameters)
    if asked.dimension is EVENTS and not filters.are_on_events:
        return await source.scan("select_filtered_types", *parameters, *filters.on_visits)
    return await source.scan(asked.dimension.filtered, *parameters, *filters)
