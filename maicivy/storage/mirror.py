"""Filling Redis from PostgreSQL: after a loss, after a doubt, and at every start.

Redis carries a marker, the epoch: which database it is a copy of, and which run of the Redis
server the copy was made in. A marker that is missing or names something else means that the copy
cannot be relied on, whether it was flushed, restarted empty, or came back from an old dump.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import uuid
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from maicivy.errors import StorageUnavailable
from maicivy.logs import fields
from maicivy.periods import ONE_DAY, Period, day_start, local_day
from maicivy.storage import keys
from maicivy.storage.realtime import Totals, write_totals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from zoneinfo import ZoneInfo

    import redis.asyncio

    from maicivy.metrics import Metrics
    from maicivy.periods import Clock
    from maicivy.storage.postgres import Postgres
    from maicivy.storage.realtime import Realtime

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 5.0
CHUNK = 1000
# A commit may end this long after its events were stamped.
LATE_COMMIT = dt.timedelta(seconds=30)
# A day is closed for good once nothing stamped in it can still be on its way.
CLOSED_AFTER = dt.timedelta(hours=1)
# Longer than from counting the active to finding them in Redis.
NOBODY_FALLS_OUT = dt.timedelta(seconds=20)
SETTLE_SECONDS = 0.3


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
        self._database_id = str(database_id)
        self._complete_until: dt.datetime | None = None

    async def check(self) -> None:
        """See whether Redis is our copy and complete; fill in what is missing.

        Raises `StorageUnavailable` when either server does not answer.
        """
        missed, now = self._realtime.missed(), self._clock()
        with unavailable_when_away():
            epoch = await self._expected_epoch()
            found: bytes | None = await self._client.get(keys.EPOCH)  # type: ignore[assignment]
            if await self._ahead(now):
                log.warning("Redis holds more than PostgreSQL and is filled anew")
                found = b""
            if (
                self._complete_until is None
                or found != epoch
                or self._realtime.lost_keys
                or await self._lost_keys(now)
                or await self._fell_short(now)
            ):
                await self._refill(found, epoch, now)
            elif not self._realtime.trusted:
                await self._fill_since(self._complete_until - LATE_COMMIT, now)
            else:
                await self._fill_current_totals(now)
        self._complete_until = now
        self._realtime.trust(epoch, missed)

    async def rebuild(self) -> None:
        """Delete everything that is ours in Redis and fill it in again."""
        with unavailable_when_away():
            epoch = await self._expected_epoch()
            await self._refill(b"", epoch, self._clock())

    async def sketch_closed_days(self, progress: Callable[[str], None] | None = None) -> int:
        """Store the sketch of every closed day that has none yet; return how many."""
        now = self._clock()
        before = local_day(now - CLOSED_AFTER, self._zone)
        oldest = local_day(now, self._zone) - dt.timedelta(days=90)
        rows = await self._postgres.fetch("select_unsketched_days", before, oldest)
        for row in rows:
            if progress:
                progress(f"sketching the visitors of {row['day']}")
            with unavailable_when_away():
                async with self.day_sketch(row["day"]) as scratch:
                    sketch = await self._client.get(scratch)
            if sketch is not None:
                await self._postgres.write("insert_sketch", row["day"], sketch)
        return len(rows)

    @contextlib.asynccontextmanager
    async def day_sketch(self, day: dt.date) -> AsyncIterator[str]:
        """Lend a scratch key with the sketch of a closed day, made from PostgreSQL's rows."""
        start, end = day_start(day, self._zone), day_start(day + ONE_DAY, self._zone)
        async with self.scratch() as key:
            async for rows in self._postgres.stream("select_day_visitors", start, end):
                await self._client.pfadd(key, *(str(row["visitor_id"]) for row in rows))
                await self._client.expire(key, keys.SCRATCH_SECONDS)
            yield key

    @contextlib.asynccontextmanager
    async def scratch(self) -> AsyncIterator[str]:
        """Lend the name of a key that is gone afterwards."""
        key = f"{keys.SCRATCH}{uuid.uuid4().hex}"
        try:
            yield key
        finally:
            await self._client.unlink(key)

    async def _expected_epoch(self) -> bytes:
        try:
            server: dict[str, Any] = await self._client.info("server")
        except RedisError as error:
            if isinstance(error, ConnectionError | TimeoutError):
                raise
            server = {}
        return f"{self._database_id}:{server.get('run_id', '-')}".encode()

    async def _ahead(self, now: dt.datetime) -> bool:
        """Say whether Redis counts more than PostgreSQL, as after a backup was restored.

        Redis is read first and PostgreSQL only grows, so events under way cannot look like that.
        """
        today = local_day(now, self._zone)
        names = {
            (period, start): keys.stat(period, start, keys.TOTAL_EVENTS)
            for period, start in keys.current(today)
        }
        told = await self._client.mget(list(names.values()))
        rows = await self._postgres.fetch("select_period_totals", *(start for _, start in names))
        truth = {(row["period"], row["period_start"]): row["events"] for row in rows}
        return any(
            not count.isdigit() or int(count) > truth.get(key, 0)
            for key, count in zip(names, told, strict=True)
            if count is not None
        )

    async def _lost_keys(self, now: dt.datetime) -> bool:
        """Say whether a sketch of an open period is missing although there were events."""
        today = local_day(now, self._zone)
        starts = [start for _, start in keys.current(today)]
        rows = await self._postgres.fetch("select_period_totals", *starts)
        expected = [
            keys.unique_visitors(Period(row["period"]), row["period_start"])
            for row in rows
            if row["events"]
        ]
        return bool(expected) and await self._client.exists(*expected) < len(expected)

    async def _fell_short(self, now: dt.datetime) -> bool:
        """Say whether the ranking or the active set lacks members that PostgreSQL has.

        Redis is read a moment later and both only grow, so events under way cannot look like that.
        """
        since = now - dt.timedelta(seconds=keys.ACTIVE_SECONDS) + NOBODY_FALLS_OUT
        themes = await self._postgres.fetch_value("count_themes", keys.MAX_THEMES)
        active = await self._postgres.fetch_value("count_active_visitors", since)
        await asyncio.sleep(SETTLE_SECONDS)
        ranked = await self._client.zcard(keys.THEMES)
        seen = await self._client.zcount(keys.ACTIVE, f"({since.timestamp()}", "+inf")
        return bool(ranked < themes or seen < active)

    async def _refill(self, found: bytes | None, epoch: bytes, now: dt.datetime) -> None:
        started = asyncio.get_running_loop().time()
        same_database = found is None or found.startswith(self._database_id.encode())
        if not same_database:
            await self._delete_all()
        await self._fill_totals(now)
        await self._fill_themes()
        first_day = min(start for _, start in keys.current(local_day(now, self._zone)))
        await self._fill_visitors(day_start(first_day, self._zone), now)
        await self._fill_closed_days(now)
        await self._client.set(keys.EPOCH, epoch)
        self._metrics.redis_refills.inc()
        seconds = asyncio.get_running_loop().time() - started
        log.info("Redis filled from PostgreSQL", extra=fields(seconds=round(seconds, 3)))

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
        opened = {period: day_start(start, self._zone) for period, start in keys.current(today)}
        async for rows in self._postgres.stream("select_visitors_since", since, chunk=CHUNK):
            pipe = self._client.pipeline(transaction=False)
            for period, start in opened.items():
                members = [str(row["id"]) for row in rows if row["last_visit"] >= start]
                if members:
                    key = keys.unique_visitors(period, period.start(today))
                    pipe.pfadd(key, *members)
                    pipe.expire(key, keys.ttl_seconds(period, period.start(today), today))
            write_totals(pipe, Totals(last_seen=_active(rows, now)), today)
            await pipe.execute()

    async def _fill_closed_days(self, now: dt.datetime) -> None:
        """Put the visitors of closed days into the keys of their days, weeks and months."""
        await self.sketch_closed_days()
        today = local_day(now, self._zone)
        oldest = min(keys.oldest_kept(period, today) for period in Period)
        async for rows in self._postgres.stream("select_sketches", oldest, today, chunk=50):
            for row in rows:
                async with self.scratch() as key:
                    await self._client.set(key, row["sketch"], ex=keys.SCRATCH_SECONDS)
                    await self._merge_day(row["day"], key, today)
        yesterday = today - ONE_DAY
        if now < day_start(today, self._zone) + CLOSED_AFTER:
            async with self.day_sketch(yesterday) as key:
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

    async def _delete_all(self) -> None:
        names: list[bytes] = []
        async for name in self._client.scan_iter(match=f"{keys.PREFIX}*", count=CHUNK):
            if not name.startswith(keys.RATE_LIMIT.encode()):
                names.append(name)
            if len(names) == CHUNK:
                await self._client.unlink(*names)
                names.clear()
        if names:
            await self._client.unlink(*names)


def _active(rows: Iterable[Any], now: dt.datetime) -> dict[uuid.UUID, float]:
    since = now - dt.timedelta(seconds=keys.ACTIVE_SECONDS)
    return {row["id"]: row["last_visit"].timestamp() for row in rows if row["last_visit"] > since}


@contextlib.contextmanager
def unavailable_when_away() -> Iterator[None]:
    """Turn what a Redis that does not answer raises into `StorageUnavailable`."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise StorageUnavailable(type(error).__name__) from error
