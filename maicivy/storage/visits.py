"""Visits and their rollups: brought up to date from stored events, packed, expired and forgotten.

Events are stored with a note of what is new (`unfolded_events`). Whoever reads a report has that
folded in first, so a report knows every event that was stored before it was asked for; in between
it is done twice a minute. One at a time does it among all processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
from typing import TYPE_CHECKING

import asyncpg

from maicivy.errors import StorageUnavailable
from maicivy.logs import fields
from maicivy.periods import ONE_DAY, day_start, local_day
from maicivy.storage.postgres import GONE, affected, describe_error

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator
    from zoneinfo import ZoneInfo

    from maicivy.storage.postgres import Connection, Postgres

log = logging.getLogger(__name__)

BITE_EVENTS = 5_000
BITES_BEFORE_REMOVAL = 4
BITE_ROWS = 5_000
PACK_EVENTS = 100_000
BITE_BLOCKS = 5
PAUSE_SECONDS = 30.0
# What a reader waits for at most; more than so much is new only after an import or an upgrade.
READER_PATIENCE_SECONDS = 1.5
# As long as a visitor's cookie: what tells whether somebody had been here before.
MARKS_KEPT = dt.timedelta(days=31)
ROLLUPS_KEPT = dt.timedelta(days=400)


class Visits:
    """Keeps visits and rollups up to date; PostgreSQL being away is `StorageUnavailable`."""

    def __init__(self, postgres: Postgres, zone: ZoneInfo) -> None:
        self._postgres = postgres
        self._zone = zone
        self._next: asyncio.Task[None] | None = None
        self._folds: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Stop what readers began and wait for no longer; what is not folded is folded later."""
        for task in self._folds:
            task.cancel()
        await asyncio.gather(*self._folds, return_exceptions=True)

    async def run(self) -> None:
        """Fold what is new twice a minute, for good."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            await self._fold_if_possible()

    async def catch_up(self) -> None:
        """Return when every event that was stored before this call is in visits and rollups.

        After 1.5 s it returns as well: then there was more than that to do, or others are at it.
        Those who wait at the same time wait for the same.
        """
        if not await self._postgres.fetch_value("has_unfolded"):
            return
        if self._next is None:
            self._next = asyncio.create_task(self._in_turn(), name="fold")
            self._folds.add(self._next)
            self._next.add_done_callback(self._folds.discard)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READER_PATIENCE_SECONDS):
                await asyncio.shield(self._next)

    async def fold_all(self) -> int:
        """Fold everything that is new; return how many events it was."""
        total = 0
        while folded := await self._fold():
            total += folded
        return total

    async def fold_before_removal(self, connection: Connection) -> None:
        """Fold what is new in the transaction of `connection`, which is about to remove events.

        So rollups count what all other totals count. Not in the middle of an import or upgrade,
        which has more than that to do, and not if it never can be done.
        """
        try:
            async with connection.transaction():
                await self._postgres.run(connection, "lock_visits")
                for _ in range(BITES_BEFORE_REMOVAL):
                    if await self._fold_on(connection) < BITE_EVENTS:
                        break
        except GONE:
            raise
        except asyncpg.PostgresError as error:
            log.warning("events cannot be folded", extra=fields(error=describe_error(error)))

    async def fold_and_pack(self, now: dt.datetime) -> int:
        """Fold everything, and pack closed days as soon as they are whole; return how many visits.

        An import or an upgrade may bring months, which unpacked take thirteen times the room.
        """
        packed, folded = 0, PACK_EVENTS
        while folded >= PACK_EVENTS:
            folded = 0
            while folded < PACK_EVENTS and (count := await self._fold()):
                folded += count
            packed += await self.pack(now)
        return packed

    async def pack(self, now: dt.datetime) -> int:
        """Pack the visits of closed days, all of whose events are folded; return how many."""
        packed = 0
        today = local_day(now, self._zone)
        for row in await self._postgres.fetch("select_days_to_pack", today, self._zone.key):
            while True:
                async with self._alone() as connection:
                    count = affected(
                        await self._postgres.run(connection, "pack_visits", row["day"])
                    )
                if not count:
                    break
                packed += count
        return packed

    async def expire(self, cutoff: dt.datetime, now: dt.datetime) -> int:
        """Remove the visits of before `cutoff`, old marks and rollups; return how many visits.

        A day goes as a whole, with the first of its visits.
        """
        last, today = local_day(cutoff, self._zone), local_day(now, self._zone)
        async with self._alone() as connection:
            removed = affected(
                await self._postgres.run(connection, "delete_expired_visit_blocks", last)
            )
        while count := affected(
            await self._postgres.write("delete_expired_visits", last, BITE_ROWS)
        ):
            removed += count
        oldest_mark = max(today - MARKS_KEPT, last + ONE_DAY)
        while affected(await self._postgres.write("delete_expired_marks", oldest_mark, BITE_ROWS)):
            pass
        first = today - ROLLUPS_KEPT
        await self._postgres.write("delete_expired_rollups", first, day_start(first, self._zone))
        return removed

    async def forget(self, visitor_id: uuid.UUID) -> None:
        """Remove a visitor's visits and marks, and count the visitor nowhere any more.

        Those in blocks become rows first, with all that is in the block, some blocks at a time.
        """
        while True:
            async with self._alone() as connection:
                if not await self._unpack(connection, visitor_id):
                    await self._postgres.run(connection, "uncount_visitor", visitor_id)
                    await self._postgres.run(connection, "delete_visits_of_visitor", visitor_id)
                    return

    async def _unpack(self, connection: Connection, visitor_id: uuid.UUID) -> int:
        blocks = await self._postgres.run(
            connection, "select_blocks_of_visitor", visitor_id, BITE_BLOCKS
        )
        for block in blocks:
            await self._postgres.run(connection, "unpack_visits", block["id"])
        return len(blocks)

    async def _in_turn(self) -> None:
        """Fold everything when nobody else here does; from then on it is done anew for others."""
        async with self._turn:
            self._next = None
            try:
                await self._fold_if_possible()
            except Exception:
                # a fault of ours may not take the reports away that are there
                log.exception("events cannot be folded")

    async def _fold_if_possible(self) -> None:
        try:
            await self.fold_all()
        except StorageUnavailable as error:
            log.info("events wait to be folded", extra=fields(error=str(error)))

    async def _fold(self) -> int:
        async with self._alone() as connection:
            return await self._fold_on(connection)

    async def _fold_on(self, connection: Connection) -> int:
        folded = await self._postgres.run(connection, "fold_events", self._zone.key, BITE_EVENTS)
        return affected(folded)

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[Connection]:
        async with self._postgres.writing() as connection, connection.transaction():
            await self._postgres.run(connection, "lock_visits")
            yield connection
