"""Making a batch of events durable: one statement, repeated where that can help, without harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maicivy.errors import NotTried, StorageUnavailable
from maicivy.ingest.batch import Stored, batch_arguments, read_reply, utc_days
from maicivy.storage.postgres import NO_PARTITION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maicivy.ingest.event import Event
    from maicivy.storage.partitions import Partitions
    from maicivy.storage.postgres import Postgres, Record
    from maicivy.storage.realtime import Realtime


class Committer:
    """Commits batches, and says afterwards what became of one whose reply was lost."""

    def __init__(self, postgres: Postgres, partitions: Partitions, realtime: Realtime) -> None:
        self._postgres = postgres
        self._partitions = partitions
        self._realtime = realtime

    async def commit(self, events: Sequence[Event]) -> Stored:
        """Commit `events` in one statement, and try once more where that can help.

        Events have their ids before they are sent, so a repeated statement stores and counts
        nothing twice, even when the first one had been committed and only its reply was lost.
        Raises `NotTried` when they are certainly not stored, and `StorageUnavailable` when it is
        not known what became of them.
        """
        try:
            rows = await self._insert(events)
        except (NotTried, NO_PARTITION):
            self._partitions.forget()
            rows = await self._insert(events)
        except StorageUnavailable:
            self._partitions.forget()
            rows = await self._insert_again(events)
        stored = read_reply(rows, events)
        if stored.new_events == len(events):
            return stored
        repeated = await self._repeated(events)
        stored = read_reply(rows, [event for event in events if event.id not in repeated])
        if stored.new_events < len(stored.events):
            # The totals came with the lost reply: let Redis be filled in from the rollups.
            self._realtime.distrust()
        return stored

    async def look_up(self, events: Sequence[Event]) -> Stored:
        """Return what became of `events` whose commit was never confirmed, totals unknown."""
        columns = [event.id for event in events], [event.moment.instant for event in events]
        rows = await self._postgres.write("select_stored", *columns)
        found = {str(row["id"]) for row in rows}
        if found:
            self._realtime.distrust()
        return read_reply([], [event for event in events if event.id in found])

    async def _insert(self, events: Sequence[Event]) -> list[Record]:
        await self._partitions.ensure(utc_days(events))
        return await self._postgres.write("insert_batch", *batch_arguments(events))

    async def _insert_again(self, events: Sequence[Event]) -> list[Record]:
        """Repeat a statement that may have run: that nothing is sent now proves nothing."""
        try:
            return await self._insert(events)
        except NotTried as error:
            raise StorageUnavailable(str(error)) from error

    async def _repeated(self, events: Sequence[Event]) -> set[str]:
        """Return the ids of those whose `event_id` belongs to another event that came first."""
        named = {event.id: event.event_id for event in events if event.event_id}
        if not named:
            return set()
        rows = await self._postgres.write("select_event_keys", list(named.values()))
        first = {str(row["event_id"]): str(row["id"]) for row in rows}
        return {one for one, event_id in named.items() if first.get(event_id, one) != one}
