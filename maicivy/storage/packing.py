"""Packed events: closed days are moved into blocks of thousands, and expired blocks removed.

Whoever takes events out of blocks, or puts some in, takes a lock for that transaction; those who
store and read events do not wait for it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import uuid
from typing import TYPE_CHECKING

from maicivy.errors import StorageUnavailable
from maicivy.logs import fields
from maicivy.periods import ONE_DAY
from maicivy.storage.partitions import partition_day, partition_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from maicivy.storage.partitions import Partitions
    from maicivy.storage.postgres import Connection, Postgres

log = logging.getLogger(__name__)

# Days that stay as they were written: what is asked of single events is mostly asked of the latest.
PLAIN = dt.timedelta(days=3)
BLOCK_EVENTS = 4_000
BLOCK_DATA_BYTES = 4 * 1024 * 1024

NOWHERE = uuid.UUID(int=0)


@contextlib.asynccontextmanager
async def alone(postgres: Postgres) -> AsyncIterator[Connection]:
    """Lend a connection in a transaction beside which nobody else changes blocks."""
    async with postgres.writing() as connection, connection.transaction():
        await postgres.run(connection, "lock_blocks")
        yield connection


class Packing:
    """Packs what is older than three days; removes what is expired."""

    def __init__(self, postgres: Postgres, partitions: Partitions) -> None:
        self._postgres = postgres
        self._partitions = partitions

    async def pack(self, now: dt.datetime) -> AsyncIterator[tuple[dt.date, int]]:
        """Pack the days that ended three days before `now`; yield each and its number of events.

        Each block is one transaction: whoever is killed meanwhile leaves every event in one place.
        Raises `StorageUnavailable`; the next call goes on from there.
        """
        for name in await self._partitions.names():
            day = partition_day(name)
            if day is not None and partition_end(day) <= now - PLAIN:
                events = await self._pack_day(day)
                await self._drop(day)
                yield day, events

    async def remove_before(self, cutoff: dt.datetime) -> int:
        """Remove packed events before `cutoff`; return how many. Raises `StorageUnavailable`."""
        async with alone(self._postgres) as connection:
            [row] = await self._postgres.run(connection, "delete_expired_blocks", cutoff)
            rows = await self._postgres.run(connection, "trim_blocks", cutoff)
        return int(row[0] + sum(row["events"] for row in rows))

    async def _pack_day(self, day: dt.date) -> int:
        """Pack one UTC day.

        Each block begins where the last one ended: what was moved before is dead weight until the
        partition is dropped, and is not read again.
        """
        end = partition_end(day)
        place, events = (end - ONE_DAY, NOWHERE), 0
        while True:
            async with alone(self._postgres) as connection:
                rows = await self._postgres.run(
                    connection, "pack_next_events", *place, end, BLOCK_EVENTS, BLOCK_DATA_BYTES
                )
            if not rows or not rows[0]["events"]:
                return events
            place = (rows[0]["created_at"], rows[0]["id"])
            events += int(rows[0]["events"])

    async def _drop(self, day: dt.date) -> None:
        """Drop the day's partition. A reader who is in the way delays only that, to another run."""
        try:
            await self._partitions.drop_empty(day)
        except StorageUnavailable as error:
            log.info(
                "an empty partition is left to the next run",
                extra=fields(day=day, error=str(error)),
            )
