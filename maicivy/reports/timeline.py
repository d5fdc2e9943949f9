"""The latest events, newest first, by offset or by cursor."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import struct
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maicivy.errors import InvalidRequest
from maicivy.periods import format_instant, local_day

if TYPE_CHECKING:
    from collections.abc import Callable

    from maicivy.reports.source import Source
    from maicivy.storage.postgres import Record

    PublicId = Callable[[uuid.UUID, dt.date], uuid.UUID]

# What is skipped is read: beyond this a page is a large report.
SMALL_OFFSET = 1000

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_PLACE = struct.Struct(">q16s")
_LATEST_MICROSECONDS = 253_402_300_799_999_999  # the last of the year 9999


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the timeline: just after the event with this instant and id."""

    created_at: dt.datetime
    id: uuid.UUID

    def __str__(self) -> str:
        microseconds = (self.created_at - _EPOCH) // dt.timedelta(microseconds=1)
        raw = _PLACE.pack(microseconds, self.id.bytes)
        return base64.urlsafe_b64encode(raw).decode()

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read a cursor that an earlier page gave; raises `InvalidRequest` for anything else."""
        try:
            raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
            microseconds, identity = _PLACE.unpack(raw)
        except (UnicodeEncodeError, binascii.Error, struct.error):
            raise _wrong_cursor() from None
        if not 0 <= microseconds <= _LATEST_MICROSECONDS:
            raise _wrong_cursor()
        instant = _EPOCH + dt.timedelta(microseconds=microseconds)
        return cls(instant, uuid.UUID(bytes=identity))


_NEWEST = Cursor(_EPOCH + dt.timedelta(microseconds=_LATEST_MICROSECONDS), uuid.UUID(int=0))


@dataclass(frozen=True, slots=True)
class Page:
    """Some events, and where the next older ones begin (None at the end)."""

    events: list[dict[str, Any]]
    next_cursor: str | None


async def page(
    source: Source, public_id: PublicId, *, limit: int, offset: int, cursor: Cursor | None
) -> Page:
    """Return `limit` events after `cursor`, or after skipping `offset`.

    It is looked up first how far back that may lead, so that no more blocks of packed events are
    unpacked than have to be.
    """
    place = (cursor or _NEWEST).created_at, (cursor or _NEWEST).id
    skipped = 0 if cursor else offset
    ask = source.scan if skipped > SMALL_OFFSET else source.postgres.fetch
    [[reach]] = await ask("select_reach", limit + skipped, *place)
    rows = await ask("select_events", limit, skipped, *place, reach or _EPOCH)
    events = [_event(row, public_id, source) for row in rows]
    last = Cursor(rows[-1]["created_at"], rows[-1]["id"]) if len(rows) == limit else None
    return Page(events, str(last) if last else None)


def _event(row: Record, public_id: PublicId, source: Source) -> dict[str, Any]:
    day = local_day(row["created_at"], source.zone)
    return {
        "id": str(row["id"]),
        "visitor_id": str(public_id(row["visitor_id"], day)),
        "event_type": row["event_type"],
        "event_data": row["event_data"] or "{}",
        "page_url": row["page_url"] or "",
        "created_at": format_instant(row["created_at"]),
    }


def _wrong_cursor() -> InvalidRequest:
    return InvalidRequest(
        "The parameter cursor must be the next_cursor of an earlier answer.",
        code="invalid_parameter",
    )
