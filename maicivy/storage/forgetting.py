"""Forgetting one visitor: their rows, the sketches they are in, and the trust in Redis' copy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maicivy.errors import StorageUnavailable
from maicivy.logs import fields
from maicivy.periods import local_day
from maicivy.storage.packing import alone

if TYPE_CHECKING:
    import datetime as dt
    import uuid
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

    from maicivy.periods import Clock
    from maicivy.storage.postgres import Connection, Postgres
    from maicivy.storage.realtime import Realtime
    from maicivy.storage.visits import Visits

log = logging.getLogger(__name__)

BITE_ROWS = 1_000
BITE_BLOCKS = 10
DEADLINE_SECONDS = 30.0


@dataclass(slots=True)
class Forgotten:
    """What was removed: was there a row of the visitor's own, and how many events."""

    visitor: bool = False
    events: int = 0


class Forgetting:
    """Removes what is held of a visitor; totals, which name nobody, stay.

    Here it is done for one visitor at a time, so that the writer always has a connection.
    """

    def __init__(
        self,
        postgres: Postgres,
        realtime: Realtime,
        visits: Visits,
        clock: Clock,
        zone: ZoneInfo,
    ) -> None:
        self._postgres = postgres
        self._realtime = realtime
        self._visits = visits
        self._clock = clock
        self._zone = zone
        self._turn = asyncio.Lock()

    async def forget(self, visitor_id: uuid.UUID) -> Forgotten:
        """Remove every row, and see that no number still counts the visitor.

        Raises `StorageUnavailable` when it could not finish; what was removed stays removed, and
        the next call goes on from there.
        """
        try:
            async with asyncio.timeout(DEADLINE_SECONDS), self._turn:
                forgotten = await self._removed(visitor_id)
        except TimeoutError:
            raise StorageUnavailable("forgetting took too long") from None
        if forgotten.visitor:
            log.info("a visitor was forgotten", extra=fields(events=forgotten.events))
        return forgotten

    async def _removed(self, visitor_id: uuid.UUID) -> Forgotten:
        removal = _Removal(self._postgres, self._visits, self._zone, visitor_id)
        try:
            begun_at = self._clock()
            while await removal.bite(begun_at) == BITE_ROWS:
                pass
            while await removal.bite_of_blocks():
                pass
            forgotten = await removal.finish()
            # Last: what is folded from now on finds no events of the visitor.
            await self._visits.forget(visitor_id)
            return forgotten
        finally:
            if removal.counted_anew:
                await self._doubt(visitor_id)

    async def _doubt(self, visitor_id: uuid.UUID) -> None:
        """Rely on Redis again when it is filled anew, here and in every other process.

        Should Redis not answer now, its marker names an old generation when it comes back.
        """
        self._realtime.distrust()
        with contextlib.suppress(StorageUnavailable):
            await self._realtime.forget(visitor_id)


class _Removal:
    """The transactions that remove one visitor; `counted_anew` says that one may have committed."""

    def __init__(
        self, postgres: Postgres, visits: Visits, zone: ZoneInfo, visitor_id: uuid.UUID
    ) -> None:
        self._postgres = postgres
        self._visits = visits
        self._zone = zone
        self._visitor_id = visitor_id
        self._events = 0
        self.counted_anew = False

    async def bite(self, until: dt.datetime) -> int:
        """Delete some events that are not later than `until`; return how many."""
        async with self._postgres.writing() as connection, connection.transaction():
            await self._visits.fold_before_removal(connection)
            rows = await self._postgres.run(
                connection, "delete_visitor_events", self._visitor_id, BITE_ROWS, until
            )
            if rows:
                await self._unsketch(connection, [row["created_at"] for row in rows])
        self._events += len(rows)
        return len(rows)

    async def bite_of_blocks(self) -> int:
        """Write some blocks anew without the visitor's events; return how many blocks."""
        async with alone(self._postgres) as connection:
            blocks, instants = await self._out_of_blocks(connection)
            if blocks:
                await self._unsketch(connection, instants)
        self._events += len(instants)
        return blocks

    async def finish(self) -> Forgotten:
        """Delete the visitor's row together with what came after the last bite.

        The row is locked first: whoever stores an event of the visitor waits for it, and makes a
        new row afterwards, so that no event is ever without its visitor. Nobody packs meanwhile, so
        that no event is on its way into a block.
        """
        async with self._postgres.writing() as connection, connection.transaction():
            if not await self._postgres.run(connection, "lock_visitor", self._visitor_id):
                return Forgotten(events=self._events)
            await self._visits.fold_before_removal(connection)
            await self._postgres.run(connection, "lock_blocks")
            rows = await self._postgres.run(connection, "delete_last_events", self._visitor_id)
            instants = [row["created_at"] for row in rows]
            while (found := await self._out_of_blocks(connection))[0]:
                instants += found[1]
            await self._postgres.run(connection, "delete_visitor_places", self._visitor_id)
            await self._postgres.run(connection, "delete_visitor", self._visitor_id)
            await self._unsketch(connection, instants)
        return Forgotten(visitor=True, events=self._events + len(instants))

    async def _out_of_blocks(self, connection: Connection) -> tuple[int, list[dt.datetime]]:
        """Return how many blocks held events of the visitor, and the instants of those."""
        rows = await self._postgres.run(
            connection, "forget_in_blocks", self._visitor_id, BITE_BLOCKS
        )
        return len(rows), [instant for row in rows for instant in row["instants"]]

    async def _unsketch(self, connection: Connection, instants: Iterable[dt.datetime]) -> None:
        """Have the sketches of these events' days made anew, and Redis' copy as well.

        In this order: a sketch that is on its way is either stored before the generation changes,
        and deleted here, or not stored at all.
        """
        days = {local_day(instant, self._zone) for instant in instants}
        self.counted_anew = True
        await self._postgres.run(connection, "bump_copy_generation")
        await self._postgres.run(connection, "delete_sketches", sorted(days))
