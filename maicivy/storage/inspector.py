"""Looking at Redis beside PostgreSQL: is it our copy, and what is missing or too much of it."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from maicivy.periods import day_start, local_day
from maicivy.storage import epochs, keys

if TYPE_CHECKING:
    import uuid
    from zoneinfo import ZoneInfo

    import redis.asyncio

    from maicivy.storage.postgres import Postgres

# Longer than from counting the active to finding them in Redis.
NOBODY_FALLS_OUT = dt.timedelta(seconds=20)
SETTLE_SECONDS = 0.3


class Inspector:
    """Asks both servers; whoever calls decides what follows from the answers."""

    def __init__(
        self,
        postgres: Postgres,
        client: redis.asyncio.Redis,
        zone: ZoneInfo,
        database_id: uuid.UUID,
    ) -> None:
        self._postgres = postgres
        self._client = client
        self._zone = zone
        self._database_id = str(database_id)

    async def expected_epoch(self) -> bytes:
        """Return the marker that a good copy has."""
        generation = await self._postgres.fetch_value("select_copy_generation")
        try:
            server: dict[str, Any] = await self._client.info("server")
        except RedisError as error:
            if isinstance(error, ConnectionError | TimeoutError):
                raise
            server = {}
        return epochs.whole(self._database_id, generation, server.get("run_id", "-"))

    async def ahead(self, now: dt.datetime) -> bool:
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

    async def lost_keys(self, now: dt.datetime) -> bool:
        """Say whether a sketch of an open period is missing although somebody was there."""
        today = local_day(now, self._zone)
        starts = [start for _, start in keys.current(today)]
        instants = [day_start(start, self._zone) for start in starts]
        rows = await self._postgres.fetch("select_visited_periods", starts, instants)
        visited = {row["period_start"] for row in rows}
        expected = [
            keys.unique_visitors(period, start)
            for period, start in keys.current(today)
            if start in visited
        ]
        return bool(expected) and await self._client.exists(*expected) < len(expected)

    async def fell_short(self, now: dt.datetime) -> bool:
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
