"""A batch of events as the arguments of `insert_batch`, and its reply as totals. All pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from maicivy.periods import Period
from maicivy.storage.totals import Totals

if TYPE_CHECKING:
    import datetime as dt
    import uuid
    from collections.abc import Iterable, Sequence

    from maicivy.ingest.event import Event
    from maicivy.ingest.visitor import Visitor
    from maicivy.storage.postgres import Record


@dataclass(slots=True)
class Stored:
    """What a commit did.

    The totals for Redis; the events that are rows now, of which `new_events` were none before;
    how many visitors were new.
    """

    totals: Totals = field(default_factory=Totals)
    events: Sequence[Event] = ()
    new_visitors: int = 0
    new_events: int = 0


def batch_arguments(events: Sequence[Event]) -> list[list[Any]]:
    """Return the 20 arrays of `insert_batch`: 12 of events, then 8 of visitors."""
    return [*_columns(map(_event_row, events), 12), *_columns(_visitor_rows(events), 8)]


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]


def _event_row(event: Event) -> tuple[Any, ...]:
    return (
        event.id,
        event.visitor.id,
        event.event_type,
        event.data,
        event.page_url,
        event.referrer,
        event.session_duration,
        event.created_at,
        event.day,
        event.letter_type,
        event.theme,
        event.event_id,
    )


def _visitor_rows(events: Sequence[Event]) -> list[tuple[Any, ...]]:
    """Return one row for each visitor: who they are now, their first and last event here."""
    spans: dict[uuid.UUID, tuple[Visitor, dt.datetime, dt.datetime]] = {}
    for event in events:
        key, instant = event.visitor.id, event.created_at
        _, first, last = spans.get(key, (event.visitor, instant, instant))
        spans[key] = event.visitor, min(first, instant), max(last, instant)
    return [
        (key, who.ip_hash, who.browser, who.os, who.device, who.language, first, last)
        for key, (who, first, last) in spans.items()
    ]


def read_reply(rows: Sequence[Record], events: Sequence[Event]) -> Stored:
    """Return what the reply of `insert_batch` says of `events`, which are rows now."""
    stored = Stored(events=events)
    for row in rows:
        if row["kind"] == "period":
            period = Period(row["name"])
            stored.totals.periods.append((period, row["day"], row["a"], row["b"]))
        elif row["kind"] == "theme":
            stored.totals.themes.append((row["name"], row["a"]))
        else:
            stored.new_visitors, stored.new_events = row["a"], row["b"]
    for event in events:
        visitor, instant = event.visitor.id, event.created_at.timestamp()
        stored.totals.visitors_by_day.setdefault(event.day, set()).add(visitor)
        last = stored.totals.last_seen.get(visitor, instant)
        stored.totals.last_seen[visitor] = max(last, instant)
    return stored
