"""Storing events of earlier days as if the program had run then: rows, rollups, visits.

Each batch is one transaction, which also takes away what was made of its days when they ended: the
sketches of their visitors, and the name of Redis' copy, which every running program then fills in
anew (see `maicivy.storage.mirror`). So whoever is killed leaves nothing half done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from maicivy.errors import OperatorError, StorageUnavailable
from maicivy.ingest.batch import batch_arguments, utc_days
from maicivy.logs import fields
from maicivy.storage.postgres import CONTENT_REFUSED, NO_PARTITION, describe_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from maicivy.ingest.event import Event
    from maicivy.storage.partitions import Partitions
    from maicivy.storage.postgres import Connection, Postgres

log = logging.getLogger(__name__)

VISIT_GAP_MILLISECONDS = 30 * 60 * 1000
TRIES = 10
RETRY_PAUSE_SECONDS = 1.0


def further_visits(events: Sequence[Event]) -> dict[str, int]:
    """Return how many visits each visitor began in a batch after their first one in it.

    `insert_batch` counts one at the most, for its batches are of one moment.
    """
    last: dict[str, int] = {}
    more: dict[str, int] = {}
    for event in sorted(events, key=lambda event: event.moment.milliseconds):
        who, instant = event.visitor.id, event.moment.milliseconds
        if instant > last.get(who, instant) + VISIT_GAP_MILLISECONDS:
            more[who] = more.get(who, 0) + 1
        last[who] = instant
    return more


class PastEvents:
    """Stores batches of events that are new: whoever calls sees to it that none comes twice."""

    def __init__(self, postgres: Postgres, partitions: Partitions) -> None:
        self._postgres = postgres
        self._partitions = partitions

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Keep others from storing earlier days meanwhile; raises `OperatorError`."""
        async with self._postgres.reading() as lock:
            [row] = await self._postgres.run(lock, "lock_history")
            if not row[0]:
                raise OperatorError("Another import or demo is under way; wait until it is done.")
            try:
                yield
            finally:
                if not lock.is_closed():
                    await self._postgres.run(lock, "unlock_history")

    async def store(
        self,
        events: Sequence[Event],
        note: Callable[[Connection], Awaitable[None]],
        is_noted: Callable[[], Awaitable[bool]],
    ) -> int:
        """Store `events` and what `note` writes, both or neither; return how many were refused.

        When PostgreSQL is away or busy it is tried again for a while, if `is_noted` does not say
        that it was done; at last `StorageUnavailable` is raised.
        """
        for left in reversed(range(TRIES)):
            try:
                return await self._store(events, note)
            except (StorageUnavailable, NO_PARTITION) as error:
                self._partitions.forget()
                if not left:
                    raise StorageUnavailable(type(error).__name__) from error
                await asyncio.sleep(RETRY_PAUSE_SECONDS)
                with contextlib.suppress(StorageUnavailable):
                    if await is_noted():
                        break
        return 0

    async def is_stored(self, event: Event) -> bool:
        """Say whether `event` is a row; raises `StorageUnavailable`."""
        rows = await self._postgres.write("select_stored", [event.id], [event.moment.instant])
        return bool(rows)

    async def _store(
        self, events: Sequence[Event], note: Callable[[Connection], Awaitable[None]]
    ) -> int:
        await self._partitions.ensure(utc_days(events))
        try:
            async with self._postgres.writing() as connection, connection.transaction():
                await self._insert(connection, events)
                await note(connection)
        except NO_PARTITION:
            raise
        except CONTENT_REFUSED:
            async with self._postgres.writing() as connection, connection.transaction():
                refused = await self._insert_what_can_be(connection, events)
                await note(connection)
            return refused
        return 0

    async def _insert_what_can_be(self, connection: Connection, events: Sequence[Event]) -> int:
        """Leave out what PostgreSQL refuses, looked for by halves; return how many."""
        try:
            async with connection.transaction():
                await self._insert(connection, events)
        except NO_PARTITION:
            raise
        except CONTENT_REFUSED as error:
            if len(events) == 1:
                log.warning("an event was refused", extra=fields(error=describe_error(error)))
                return 1
            middle = len(events) // 2
            first = await self._insert_what_can_be(connection, events[:middle])
            return first + await self._insert_what_can_be(connection, events[middle:])
        return 0

    async def _insert(self, connection: Connection, events: Sequence[Event]) -> None:
        if not events:
            return
        await self._postgres.run(connection, "insert_batch", *batch_arguments(events))
        if more := further_visits(events):
            await self._postgres.run(connection, "add_visits", list(more), [*more.values()])
        # in this order, as in `maicivy.storage.forgetting`
        await self._postgres.run(connection, "bump_copy_generation")
        days = sorted({event.moment.day for event in events})
        await self._postgres.run(connection, "delete_sketches", days)
