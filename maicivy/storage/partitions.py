"""The daily partitions of `analytics_events`: made ahead, dropped when expired.

Partitions hold UTC days. Both ways need a lock that conflicts with inserts, and whoever waits for
such a lock makes everybody behind it wait as well; so each try gives up after a short
`lock_timeout` and comes back later.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import logging
import re
from typing import TYPE_CHECKING

import asyncpg

from maicivy.errors import StorageUnavailable
from maicivy.logs import fields
from maicivy.periods import ONE_DAY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from maicivy.storage.postgres import Connection, Postgres

log = logging.getLogger(__name__)

DAYS_AHEAD = 7
LOCK_TIMEOUT_MILLISECONDS = 100
RETRY_PAUSE_SECONDS = 0.5
DROP_TRIES = 60
CREATE_TRIES = 20

_NAME = re.compile(r"analytics_events_p(\d{4})(\d{2})(\d{2})")


def partition_name(day: dt.date) -> str:
    """Return the table that holds the UTC day `day`."""
    return f"analytics_events_p{day:%Y%m%d}"


def partition_day(name: str) -> dt.date | None:
    """Return the UTC day of a partition, or None for a table that is not one of ours."""
    match = _NAME.fullmatch(name)
    return dt.date(*map(int, match.groups())) if match else None


def partition_end(day: dt.date) -> dt.datetime:
    """Return the instant at which the UTC day `day` is over."""
    return dt.datetime.combine(day + ONE_DAY, dt.time.min, dt.UTC)


class Partitions:
    """Makes and drops partitions; remembers which are there."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._known: set[dt.date] = set()

    async def ensure(self, days: Iterable[dt.date]) -> None:
        """Make the partitions of `days` that do not exist; raises `StorageUnavailable`."""
        missing = sorted(set(days) - self._known)
        if missing:
            await _patiently(lambda: self._create(missing), CREATE_TRIES)

    async def ensure_ahead(self, now: dt.datetime) -> None:
        """Make the partitions from yesterday to a week ahead of `now`."""
        today = now.astimezone(dt.UTC).date()
        await self.ensure(today + ONE_DAY * offset for offset in range(-1, DAYS_AHEAD + 1))

    def forget(self) -> None:
        """Look again which partitions there are."""
        self._known.clear()

    async def drop_before(self, cutoff: dt.datetime) -> list[str]:
        """Drop every partition that ends at or before `cutoff`; return their names.

        A long reader delays a drop; after about half a minute of tries the rest is left to the
        next run and `StorageUnavailable` is raised.
        """
        dropped = []
        for name in await self.names():
            day = partition_day(name)
            if day is None or partition_end(day) > cutoff:
                continue
            await _patiently(functools.partial(self._drop, name), DROP_TRIES)
            self._known.discard(day)
            dropped.append(name)
            log.info("partition dropped", extra=fields(partition=name))
        return dropped

    async def drop_empty(self, day: dt.date) -> bool:
        """Drop the partition of `day` unless an event is in it; tell whether it was dropped.

        Raises `StorageUnavailable` when a reader was in the way all the time.
        """
        dropped = False

        async def drop() -> None:
            nonlocal dropped
            dropped = await self._drop_if_empty(partition_name(day))

        await _patiently(drop, DROP_TRIES)
        if dropped:
            self._known.discard(day)
        return dropped

    async def names(self) -> list[str]:
        """Return the names of all partitions, oldest first."""
        async with self._postgres.reading() as connection:
            return await self._names(connection)

    async def _create(self, days: list[dt.date]) -> None:
        async with self._alone() as connection:
            existing = set(map(partition_day, await self._names(connection)))
            for day in days:
                if day not in existing:
                    name, end = partition_name(day), partition_end(day)
                    start = end - ONE_DAY
                    await connection.execute(
                        f"CREATE TABLE {name} (LIKE analytics_events INCLUDING DEFAULTS)"
                    )
                    await connection.execute(
                        f"ALTER TABLE analytics_events ATTACH PARTITION {name} "
                        f"FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
                    )
        self._known.update(days)

    async def _drop(self, name: str) -> None:
        async with self._alone() as connection:
            await connection.execute(f"DROP TABLE IF EXISTS {name}")

    async def _drop_if_empty(self, name: str) -> bool:
        """Look while only those who write into this day are kept out; drop without delay."""
        async with self._alone() as connection:
            await connection.execute(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")
            if await connection.fetch(f"TABLE {name} LIMIT 1"):
                return False
            await connection.execute(f"DROP TABLE {name}")
            return True

    async def _names(self, connection: Connection) -> list[str]:
        return [row["name"] for row in await self._postgres.run(connection, "select_partitions")]

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction that no other instance changes partitions beside."""
        async with self._postgres.writing() as connection, connection.transaction():
            await self._postgres.run(connection, "lock_partitions")
            await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MILLISECONDS}")
            yield connection


async def _patiently(action: Callable[[], Awaitable[None]], tries: int) -> None:
    """Try `action` until it gets its locks; the last `StorageUnavailable` is raised."""
    for _ in range(tries - 1):
        try:
            return await action()
        except StorageUnavailable as error:
            if not isinstance(error.__cause__, asyncpg.LockNotAvailableError):
                raise
            await asyncio.sleep(RETRY_PAUSE_SECONDS)
    return await action()
