"""Filling Redis from PostgreSQL: after a loss, after a doubt, and at every start.

Redis carries a marker, the epoch: which database it is a copy of, how often a visitor of it had
been forgotten, and which run of the Redis server the copy was made in. A marker that is missing or
names something else means that the copy cannot be relied on, whether it was flushed, restarted
empty, came back from an old dump, or still counts somebody who is forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import logging
from typing import TYPE_CHECKING, Any

from maicivy.errors import StorageUnavailable
from maicivy.logs import fields
from maicivy.periods import ONE_DAY, Period, day_start, local_day
from maicivy.storage import epochs, keys
from maicivy.storage.inspector import Inspector
from maicivy.storage.postgres import affected
from maicivy.storage.sketches import CLOSED_AFTER, Sketches, unavailable_when_away
from maicivy.storage.totals import Totals, write_active, write_totals

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator, Callable, Iterable
    from zoneinfo import ZoneInfo

    import redis.asyncio

    from maicivy.metrics import Metrics
    from maicivy.periods import Clock
    from maicivy.storage.postgres import Postgres
    from maicivy.storage.realtime import Realtime

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 5.0
LOCK_PAUSE_SECONDS = 0.1
CHUNK = 1000
# A commit may end this long after its events were stamped.
LATE_COMMIT = dt.timedelta(seconds=30)

# Sets KEYS[1] to ARGV[2] if it still is ARGV[1].
REPLACE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What a check saw: the marker that a good copy has, the one that is there, stray writes."""

    expected: bytes
    found: bytes | None
    strays: int
    whole: bool


class Mirror:
    """Keeps Redis a true copy of one database. The client given should be patient (5 s)."""

    def __init__(
        self,
        *,
        postgres: Postgres,
        client: redis.asyncio.Redis,
        realtime: Realtime,
        metrics: Metrics,
        clock: Clock,
        zone: ZoneInfo,
        database_id: uuid.UUID,
    ) -> None:
        self._postgres = postgres
        self._client = client
        self._realtime = realtime
        self._metrics = metrics
        self._clock = clock
        self._zone = zone
        self._inspector = Inspector(postgres, client, zone, database_id)
        self.sketches = Sketches(postgres, client, clock, zone)
        self._complete_until: dt.datetime | None = None
        self._strays = 0

    async def check(self) -> None:
        """See whether Redis is our copy and complete; fill in what is missing.

        Raises `StorageUnavailable` when either server does not answer, or when another process
        is at it.
        """
        missed, now = self._realtime.missed(), self._clock()
        with unavailable_when_away():
            look = await self._look(now)
            if look.whole and self._realtime.trusted:
                await self._fill_current_totals(now)
            else:
                look = await self._mend(now)
        self._complete_until, self._strays = now, look.strays
        self._realtime.trust(look.expected, missed)

    async def rebuild(self) -> None:
        """Delete everything that is ours in Redis and fill it in again."""
        with unavailable_when_away():
            async with self._alone():
                look = await self._look(self._clock())
                await self._refill(dataclasses.replace(look, found=b""))

    async def _mend(self, now: dt.datetime) -> Look:
        """Look again with nobody else at it, and fill in what is missing."""
        async with self._alone():
            look = await self._look(now)
            if look.whole and self._complete_until is not None:
                await self._fill_since(self._complete_until - LATE_COMMIT, now)
            else:
                await self._refill(look)
            return look

    async def _look(self, now: dt.datetime) -> Look:
        """Compare the marker with the one that a good copy has, and look for what is missing."""
        strays, expected = self._realtime.strays(), await self._inspector.expected_epoch()
        self._realtime.expect(expected)
        found: bytes | None = await self._client.get(keys.EPOCH)  # type: ignore[assignment]
        if await self._inspector.ahead(now):
            log.warning("Redis holds more than PostgreSQL and is filled anew")
            found = b""
        known = self._complete_until is not None and strays == self._strays
        whole = (
            known
            and found == expected
            and not self._realtime.lost_keys
            and not await self._inspector.lost_keys(now)
            and not await self._inspector.fell_short(now)
        )
        return Look(expected, found, strays, whole)

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the lock under which visitors are read in PostgreSQL and put into Redis.

        Otherwise one process could put back what another has just deleted. The lock ends with the
        transaction, and so with the process. It waits for as long as Redis is waited for.
        """
        async with self._postgres.reading() as connection, connection.transaction():
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            until = asyncio.get_running_loop().time() + DEADLINE_SECONDS
            while not affected(await self._postgres.run(connection, "lock_filling")):
                if asyncio.get_running_loop().time() > until:
                    raise StorageUnavailable("another process fills Redis")
                await asyncio.sleep(LOCK_PAUSE_SECONDS)
            yield

    async def sketch_closed_days(self, progress: Callable[[str], None] | None = None) -> int:
        """Store the sketch of every closed day that has none yet; return how many."""
        return await self.sketches.store_missing(progress)

    async def _refill(self, look: Look) -> None:
        """Fill in everything; whoever takes the marker away meanwhile has it done again.

        The open periods are those of an instant after the deleting: whoever was deleted has been
        here before it, and so in one of them or in a closed one.
        """
        started = asyncio.get_running_loop().time()
        marker = await self._make_room(look)
        now = self._clock()
        await self._fill_totals(now)
        await self._fill_themes()
        first_day = min(start for _, start in keys.current(local_day(now, self._zone)))
        await self._fill_visitors(day_start(first_day, self._zone), now)
        await self._fill_closed_days(now)
        if local_day(self._clock(), self._zone) != local_day(now, self._zone):
            raise StorageUnavailable("a day began while Redis was filled")
        if not await self._client.eval(REPLACE, 1, keys.EPOCH, marker, look.expected):
            raise StorageUnavailable("the copy was doubted while it was filled")
        self._metrics.redis_refills.inc()
        seconds = asyncio.get_running_loop().time() - started
        log.info("Redis filled from PostgreSQL", extra=fields(seconds=round(seconds, 3)))

    async def _make_room(self, look: Look) -> bytes:
        """Delete what cannot be made right by adding to it; return the marker of the filling.

        The marker goes first, so that nobody takes what is half empty for the truth. A copy that
        only lacks something keeps the one that it has, and those who rely on it go on.
        """
        same = epochs.same_generation(look.found, look.expected)
        if same and look.found is not None and look.strays == self._strays:
            return look.found
        marker = epochs.filling(look.expected)
        await self._client.set(keys.EPOCH, marker)
        if not epochs.same_database(look.found, look.expected):
            await self._delete(f"{keys.PREFIX}*", kept=(keys.RATE_LIMIT, keys.EPOCH))
        else:
            await self._delete(keys.UNIQUE_VISITORS + "*")
            await self._client.unlink(keys.ACTIVE)
        return marker

    async def _fill_since(self, since: dt.datetime, now: dt.datetime) -> None:
        """Bring in what commits after `since` may have failed to tell Redis."""
        await self._fill_current_totals(now)
        await self._fill_themes()
        await self._fill_visitors(since, now)
        self._metrics.redis_refills.inc()

    async def _fill_current_totals(self, now: dt.datetime) -> None:
        today = local_day(now, self._zone)
        starts = [start for _, start in keys.current(today)]
        await self._write_totals(await self._postgres.fetch("select_period_totals", *starts), today)

    async def _fill_totals(self, now: dt.datetime) -> None:
        today = local_day(now, self._zone)
        oldest_day = keys.oldest_kept(Period.DAY, today)
        oldest = min(keys.oldest_kept(period, today) for period in (Period.WEEK, Period.MONTH))
        await self._write_totals(
            await self._postgres.fetch("select_all_period_totals", oldest_day, oldest), today
        )

    async def _write_totals(self, rows: Iterable[Any], today: dt.date) -> None:
        totals = Totals(
            periods=[
                (Period(row["period"]), row["period_start"], row["events"], row["letters"])
                for row in rows
            ]
        )
        pipe = self._client.pipeline(transaction=False)
        write_totals(pipe, totals, today)
        await pipe.execute()

    async def _fill_themes(self) -> None:
        rows = await self._postgres.fetch("select_themes", keys.MAX_THEMES)
        if rows:
            views = {row["theme"]: row["views"] for row in rows}
            await self._client.zadd(keys.THEMES, views, gt=True)

    async def _fill_visitors(self, since: dt.datetime, now: dt.datetime) -> None:
        """Put everybody who has been here since `since` into the open periods they belong to."""
        today = local_day(now, self._zone)
        for period, start in await self.sketches.open_periods(today):
            key = keys.unique_visitors(period, start)
            async for members in self.sketches.visitors(period, start, since):
                await self.sketches.add(key, members, keys.ttl_seconds(period, start, today))
        active_since = now - dt.timedelta(seconds=keys.ACTIVE_SECONDS)
        async for rows in self._postgres.stream("select_visitors_since", active_since, chunk=CHUNK):
            pipe = self._client.pipeline(transaction=False)
            last_seen = {str(row["id"]): row["last_visit"].timestamp() for row in rows}
            write_active(pipe, last_seen, now)
            await pipe.execute()

    async def _fill_closed_days(self, now: dt.datetime) -> None:
        """Put the visitors of closed days into the keys of their days, weeks and months."""
        await self.sketches.store_missing()
        today = local_day(now, self._zone)
        oldest = min(keys.oldest_kept(period, today) for period in Period)
        async for rows in self._postgres.stream("select_sketches", oldest, today, chunk=50):
            for row in rows:
                async with self.sketches.scratch() as key:
                    await self._client.set(key, row["sketch"], ex=keys.SCRATCH_SECONDS)
                    await self._merge_day(row["day"], key, today)
        yesterday = today - ONE_DAY
        if now < day_start(today, self._zone) + CLOSED_AFTER:
            async with self.sketches.of_day(yesterday) as key:
                await self._merge_day(yesterday, key, today)

    async def _merge_day(self, day: dt.date, sketch_key: str, today: dt.date) -> None:
        if not await self._client.exists(sketch_key):
            return
        pipe = self._client.pipeline(transaction=False)
        for period in Period:
            start = period.start(day)
            ttl = keys.ttl_seconds(period, start, today)
            if ttl > 0:
                pipe.pfmerge(keys.unique_visitors(period, start), sketch_key)
                pipe.expire(keys.unique_visitors(period, start), ttl)
        await pipe.execute()

    async def _delete(self, pattern: str, kept: tuple[str, ...] = ()) -> None:
        names: list[bytes] = []
        prefixes = tuple(prefix.encode() for prefix in kept)
        async for name in self._client.scan_iter(match=pattern, count=CHUNK):
            if not name.startswith(prefixes):
                names.append(name)
            if len(names) == CHUNK:
                await self._client.unlink(*names)
                names.clear()
        if names:
            await self._client.unlink(*names)
