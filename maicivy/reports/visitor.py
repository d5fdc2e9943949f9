"""What is held of one visitor, for that visitor."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maicivy.periods import format_instant
from maicivy.reports.timeline import Cursor
from maicivy.storage.keys import ACTIVE_SECONDS

if TYPE_CHECKING:
    import uuid

    from maicivy.reports.source import Source
    from maicivy.storage.postgres import Record


@dataclass(frozen=True, slots=True)
class Holdings:
    """The visitor's own row, if there is one, and a page of their events, newest first."""

    visitor: dict[str, Any] | None
    active: bool
    events: list[dict[str, Any]]
    next_cursor: str | None


NOTHING = Holdings(None, active=False, events=[], next_cursor=None)


async def holdings(
    source: Source, visitor_id: uuid.UUID, *, limit: int, cursor: Cursor | None
) -> Holdings:
    """Return what is held of `visitor_id`, with `limit` events after `cursor`."""
    known = await source.postgres.fetch("select_visitor", visitor_id)
    if not known:
        return NOTHING
    place = (cursor.created_at, cursor.id) if cursor else (None, None)
    rows = await source.scan("select_visitor_events", visitor_id, limit, *place)
    last = Cursor(rows[-1]["created_at"], rows[-1]["id"]) if len(rows) == limit else None
    active_since = source.clock() - dt.timedelta(seconds=ACTIVE_SECONDS)
    return Holdings(
        visitor=_visitor(known[0]),
        active=known[0]["last_visit"] > active_since,
        events=[_event(row) for row in rows],
        next_cursor=str(last) if last else None,
    )


def _visitor(row: Record) -> dict[str, Any]:
    return dict(row) | {
        "id": str(row["id"]),
        "first_visit": format_instant(row["first_visit"]),
        "last_visit": format_instant(row["last_visit"]),
    }


def _event(row: Record) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "event_type": row["event_type"],
        "event_data": row["event_data"] or "{}",
        "page_url": row["page_url"] or "",
        "referrer": row["referrer"] or "",
        "session_duration": row["session_duration"] or 0,
        "created_at": format_instant(row["created_at"]),
    }
