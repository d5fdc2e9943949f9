"""Comparing every number in Redis, and every rollup, with PostgreSQL, also while events arrive."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from maicivy.periods import ONE_DAY, Period, day_start, local_day
from maicivy.storage import keys
from maicivy.storage.sketches import CLOSED_AFTER, unavailable_when_away

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

    import redis.asyncio

    from maicivy.periods import Clock
    from maicivy.storage.postgres import Postgres
    from maicivy.storage.sketches import Sketches
    from maicivy.storage.visits import Visits

TRIES = 8
PAUSE_SECONDS = 0.3
SETTLE_SECONDS = 0.1
# Rollups of what was stored before there were any go back as far as events are kept.
ROLLUPS_COMPARED = dt.timedelta(days=60)

Numbers = dict[str, int]


@dataclass(slots=True)
class Truth:
    """What PostgreSQL says each key holds; `optional` keys may have expired already."""

    numbers: Numbers = field(default_factory=dict)
    optional: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Difference:
    """One number that `place` and PostgreSQL's totals disagree on; None where there is none."""

    name: str
    told: int | None
    postgres: int | None
    place: str = "Redis"


def differences(before: Numbers, truth: Truth, after: Numbers) -> list[Difference]:
    """Return what differs, given Redis' numbers read before and after PostgreSQL's.

    Events may arrive meanwhile, and numbers only grow: PostgreSQL's has to lie between the two.
    """
    found = []
    for name in sorted(before.keys() | truth.numbers.keys() | after.keys()):
        low, value, high = before.get(name), truth.numbers.get(name), after.get(name)
        if high is None and (value is None or name in truth.optional):
            continue
        if value is None or high is None or not (low or 0) <= value <= high:
            found.append(Difference(name, high, value))
    return found


class Verifier:
    """Reads all numbers from both sides. The Redis client given should be patient (5 s)."""

    def __init__(
        self,
        *,
        postgres: Postgres,
        client: redis.asyncio.Redis,
        sketches: Sketches,
        visits: Visits,
        clock: Clock,
        zone: ZoneInfo,
    ) -> None:
        self._postgres = postgres
        self._client = client
        self._sketches = sketches
        self._visits = visits
        self._clock = clock
        self._zone = zone

    async def verify(self, progress: Callable[[str], None] | None = None) -> list[Difference]:
        """Return the differences that persist; what a commit under way explains does not."""
        found: list[Difference] = []
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(PAUSE_SECONDS)
            if progress:
                progress(f"comparing, try {attempt + 1}")
            found = await self._compare()
            if not found:
                break
        return found

    async def _compare(self) -> list[Difference]:
        now = self._clock()
        with unavailable_when_away():
            before = await self._redis_numbers(now)
            truth = await self._truth(now)
            await asyncio.sleep(SETTLE_SECONDS)
            found = differences(before, truth, await self._redis_numbers(now))
        return found + await self._rollup_differences(now)

    async def _rollup_differences(self, now: dt.datetime) -> list[Difference]:
        """Compare the days of the rollups that reports are made of, but for waiting events."""
        await self._visits.fold_all()
        first = local_day(now, self._zone) - ROLLUPS_COMPARED
        return [
            Difference(f"{row['name']} of {row['day']}", row["told"], row["total"], "rollups")
            for row in await self._postgres.fetch(
                "select_rollup_differences", first, self._zone.key
            )
        ]

    async def _redis_numbers(self, now: dt.datetime) -> Numbers:
        numbers: Numbers = {}
        async for name in self._client.scan_iter(match="analytics:stats:*", count=1000):
            numbers[name.decode()] = int(await self._client.get(name) or 0)
        async for name in self._client.scan_iter(match=f"{keys.UNIQUE_VISITORS}*", count=1000):
            numbers[name.decode()] = int(await self._client.pfcount(name))
        ranking: Any = await self._client.zrange(keys.THEMES, 0, -1, withscores=True)
        for theme, views in ranking:
            numbers[_theme_name(theme.decode())] = int(views)
        since = f"({now.timestamp() - keys.ACTIVE_SECONDS}"
        numbers[keys.ACTIVE] = int(await self._client.zcount(keys.ACTIVE, since, "+inf"))
        return numbers

    async def _truth(self, now: dt.datetime) -> Truth:
        truth, today = Truth(), local_day(now, self._zone)
        margin = dt.timedelta(days=40)
        rows = await self._postgres.fetch(
            "select_all_period_totals",
            keys.oldest_kept(Period.DAY, today) - margin,
            keys.oldest_kept(Period.MONTH, today) - margin,
        )
        for row in rows:
            period, start = Period(row["period"]), row["period_start"]
            names = [
                keys.stat(period, start, keys.TOTAL_EVENTS),
                keys.stat(period, start, keys.LETTERS),
            ]
            truth.numbers.update(zip(names, (row["events"], row["letters"]), strict=True))
            names.append(keys.unique_visitors(period, start))
            if keys.ttl_seconds(period, start, today) <= ONE_DAY.total_seconds():
                truth.optional.update(names)
        truth.numbers.update(await self._unique_visitors(today, now, rows_exist=bool(rows)))
        for row in await self._postgres.fetch("select_themes", keys.MAX_THEMES):
            truth.numbers[_theme_name(row["theme"])] = row["views"]
        since = now - dt.timedelta(seconds=keys.ACTIVE_SECONDS)
        truth.numbers[keys.ACTIVE] = await self._postgres.fetch_value(
            "count_active_visitors", since
        )
        return truth

    async def _unique_visitors(
        self, today: dt.date, now: dt.datetime, *, rows_exist: bool
    ) -> Numbers:
        """Return the estimates that sketches made from PostgreSQL alone give."""
        if not rows_exist:
            return {}
        async with self._sketches.scratch() as root:
            made: dict[str, str] = {}
            try:
                await self._sketch_open_periods(root, today, made)
                await self._sketch_closed_days(root, today, now, made)
                return {name: int(await self._client.pfcount(key)) for name, key in made.items()}
            finally:
                for key in made.values():
                    await self._client.unlink(key)

    async def _sketch_open_periods(self, root: str, today: dt.date, made: dict[str, str]) -> None:
        for period, start in await self._sketches.open_periods(today):
            name = keys.unique_visitors(period, start)
            async for members in self._sketches.visitors(period, start):
                key = made.setdefault(name, f"{root}:{name}")
                await self._sketches.add(key, members, keys.SCRATCH_SECONDS)

    async def _sketch_closed_days(
        self, root: str, today: dt.date, now: dt.datetime, made: dict[str, str]
    ) -> None:
        await self._sketches.store_missing()
        oldest = keys.oldest_kept(Period.MONTH, today) - dt.timedelta(days=40)
        async for rows in self._postgres.stream("select_sketches", oldest, today, chunk=50):
            for row in rows:
                async with self._sketches.scratch() as sketch:
                    await self._client.set(sketch, row["sketch"], ex=keys.SCRATCH_SECONDS)
                    await self._merge(root, row["day"], sketch, today, made)
        if now < day_start(today, self._zone) + CLOSED_AFTER:
            async with self._sketches.of_day(today - ONE_DAY) as sketch:
                if await self._client.exists(sketch):
                    await self._merge(root, today - ONE_DAY, sketch, today, made)

    async def _merge(
        self, root: str, day: dt.date, sketch: str, today: dt.date, made: dict[str, str]
    ) -> None:
        for period in Period:
            start = period.start(day)
            if keys.ttl_seconds(period, start, today) > 0:
                name = keys.unique_visitors(period, start)
                key = made.setdefault(name, f"{root}:{name}")
                await self._client.pfmerge(key, sketch)
                await self._client.expire(key, keys.SCRATCH_SECONDS)


def _theme_name(theme: str) -> str:
    return f"{keys.THEMES}[{theme}]"
