"""Sketches of closed days: who was there, in Redis' HyperLogLog bytes, from PostgreSQL's rows."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from maicivy.errors import StorageUnavailable
from maicivy.periods import ONE_DAY, Period, day_start, local_day
from maicivy.storage import keys
from maicivy.storage.totals import ADD_VISITORS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from zoneinfo import ZoneInfo

    import redis.asyncio

    from maicivy.periods import Clock
    from maicivy.storage.postgres import Postgres

# A day is closed for good once nothing stamped in it can still be on its way.
CLOSED_AFTER = dt.timedelta(hours=1)


class Sketches:
    """Makes them in Redis and stores them in PostgreSQL. The client given should be patient."""

    def __init__(
        self, postgres: Postgres, client: redis.asyncio.Redis, clock: Clock, zone: ZoneInfo
    ) -> None:
        self._postgres = postgres
        self._client = client
        self._clock = clock
        self._zone = zone

    async def store_missing(self, progress: Callable[[str], None] | None = None) -> int:
        """Store the sketch of every closed day that has none yet; return how many."""
        now = self._clock()
        before = local_day(now - CLOSED_AFTER, self._zone)
        oldest = local_day(now, self._zone) - dt.timedelta(days=90)
        await self._postgres.write("forget_open_sketches", before)
        rows = await self._postgres.fetch("select_unsketched_days", before, oldest)
        for row in rows:
            if progress:
                progress(f"sketching the visitors of {row['day']}")
            generation = await self._postgres.fetch_value("select_copy_generation")
            with unavailable_when_away():
                async with self.of_day(row["day"]) as scratch:
                    sketch = await self._client.get(scratch)
            if sketch is not None:
                await self._postgres.write("insert_sketch", row["day"], sketch, generation)
        return len(rows)

    async def open_periods(self, today: dt.date) -> list[tuple[Period, dt.date]]:
        """Return the open day, week and month, and those in which only a wrong clock has been."""
        later = await self._postgres.fetch("select_later_periods", today)
        return [
            *keys.current(today),
            *((Period(row["period"]), row["period_start"]) for row in later),
        ]

    async def visitors(
        self, period: Period, start: dt.date, since: dt.datetime | None = None
    ) -> AsyncIterator[str]:
        """Yield who was there in an open period, after `since` if that is given, as words."""
        begin, end = day_start(start, self._zone), day_start(period.end(start), self._zone)
        begin = max(begin, since or begin)
        async for rows in self._postgres.stream("select_visitors_between", begin, end):
            yield " ".join(row["id"] for row in rows)

    async def add(self, key: str, members: str, ttl_seconds: int) -> None:
        """Add up to 1,000 words to a sketch and renew its life."""
        await self._client.eval(ADD_VISITORS, 1, key, ttl_seconds, members)

    @contextlib.asynccontextmanager
    async def of_day(self, day: dt.date) -> AsyncIterator[str]:
        """Lend a scratch key with the sketch of a closed day, made from PostgreSQL's rows."""
        start, end = day_start(day, self._zone), day_start(day + ONE_DAY, self._zone)
        async with self.scratch() as key:
            async for rows in self._postgres.stream("select_day_visitors", start, end):
                members = " ".join(str(row["visitor_id"]) for row in rows)
                await self.add(key, members, keys.SCRATCH_SECONDS)
            yield key

    @contextlib.asynccontextmanager
    async def scratch(self) -> AsyncIterator[str]:
        """Lend the name of a key that is gone afterwards."""
        key = f"{keys.SCRATCH}{uuid.uuid4().hex}"
        try:
            yield key
        finally:
            await self._client.unlink(key)


@contextlib.contextmanager
def unavailable_when_away() -> Iterator[None]:
    """Turn what a Redis that does not answer raises into `StorageUnavailable`."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise StorageUnavailable(type(error).__name__) from error
