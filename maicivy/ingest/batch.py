"""A batch of events as the arguments of `insert_batch`, and its reply as totals. All pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from maicivy.periods import Period
from maicivy.storage.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from maicivy.ingest.event import Event
    from maicivy.ingest.visitor import Visitor
    from maicivy.periods import Moment
    from maicivy.storage.postgres import Record


# What stands between the values of a column, and for one that is NULL: no checked text holds them.
SEPARATOR, NULL = "\x1f", "\x1e"
EPOCH = dt.date(1970, 1, 1)
MILLISECONDS_A_DAY = 86_400_000


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


def utc_days(events: Sequence[Event]) -> set[dt.date]:
    """Return the days in UTC, which are the partitions, that `events` belong to."""
    days = {event.moment.milliseconds // MILLISECONDS_A_DAY for event in events}
    return {EPOCH + dt.timedelta(days=day) for day in days}


def batch_arguments(events: Sequence[Event]) -> list[str]:
    """Return the 20 columns of `insert_batch`, each as one text: 12 of events, 8 of visitors.

    One text is sent much faster than an array, whose every item the driver looks into.
    """
    visitors = zip(*_visitor_rows(events), strict=True)
    return [_joined(column) for column in (*_event_columns(events), *visitors)]


def _joined(column: Sequence[str | None]) -> str:
    """Return the values between separators; none holds one, and should one, it is taken out."""
    values = [NULL if value is None else value for value in column]
    text = SEPARATOR.join(values)
    if text.count(SEPARATOR) == len(column) - 1:
        return text
    return SEPARATOR.join([value.replace(SEPARATOR, " ") for value in values])


def _event_columns(events: Sequence[Event]) -> list[Sequence[str | None]]:
    ids, visitors, types, data, pages, referrers, durations, moments, letters, themes, names = zip(
        *events, strict=True
    )
    return [
        ids,
        [visitor.id for visitor in visitors],
        types,
        data,
        pages,
        referrers,
        list(map(str, durations)),
        [str(moment.milliseconds) for moment in moments],
        [str(moment.day) for moment in moments],
        letters,
        themes,
        names,
    ]


def _appearances(events: Sequence[Event]) -> Iterator[tuple[Visitor, Moment]]:
    """Yield who came when, once for those that came together, who have both in common."""
    who = moment = None
    for event in events:
        if event.visitor is not who or event.moment is not moment:
            who, moment = event.visitor, event.moment
            yield who, moment


def _visitor_rows(events: Sequence[Event]) -> list[tuple[str | None, ...]]:
    """Return one row for each visitor: who they are now, their first and last event here."""
    spans: dict[str, tuple[Visitor, int, int]] = {}
    for who, moment in _appearances(events):
        instant = moment.milliseconds
        span = spans.get(who.id)
        if span is None:
            spans[who.id] = who, instant, instant
        else:
            spans[who.id] = who, min(span[1], instant), max(span[2], instant)
    return [
        (
            key,
            who.ip_hash,
            who.browser,
            who.os,
            who.device,
            who.language or None,
            str(first),
            str(last),
        )
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
    for visitor, moment in _appearances(events):
        instant = moment.milliseconds / 1000
        stored.totals.visitors_by_day.setdefault(moment.day, set()).add(visitor.id)
        last = stored.totals.last_seen.get(visitor.id, instant)
        stored.totals.last_seen[visitor.id] = max(last, instant)
    return stored
