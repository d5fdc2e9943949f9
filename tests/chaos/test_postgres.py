"""PostgreSQL goes, hangs or is slow: what was answered 201 is there, everybody else was told."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.chaos.length import SLACK, short_or_full
from tests.chaos.load import Load
from tests.chaos.oracle import baseline, judge
from tests.chaos.proxy import BAD_NETWORKS, Mode
from tests.conftest import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.chaos.arena import Arena

OUTAGE_SECONDS = short_or_full(4, 20)


@contextlib.asynccontextmanager
async def under_load(arena: Arena, fault: str) -> AsyncIterator[Load]:
    """Load the program while the block breaks and heals; then judge."""
    load, before = Load([arena.program.url]), await baseline(arena)
    async with load.running():
        await asyncio.sleep(1)
        yield load
        load.recoveries.append(await arena.recovered())
        await asyncio.sleep(1)
    await judge(arena, load, fault, recovery_seconds=max(load.recoveries), before=before)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("restarted fast", signal.SIGINT),
        ("restarted immediate", signal.SIGQUIT),
        ("kill -9", signal.SIGKILL),
    ],
)
async def test_restarted(arena: Arena, name: str, number: signal.Signals) -> None:
    times = short_or_full(1, 5)
    async with under_load(arena, f"PostgreSQL {name}, {times} times") as load:
        for _ in range(times):
            await arena.end("postgres", number)
            await arena.start("postgres")
            load.recoveries.append(await arena.recovered())


async def test_stopped(arena: Arena) -> None:
    async with under_load(arena, f"PostgreSQL stopped for {OUTAGE_SECONDS} s") as load:
        await arena.end("postgres", signal.SIGINT)
        gone_at = time.monotonic() + 1
        await asyncio.sleep(OUTAGE_SECONDS)
        refused = [one for one in load.answers if one.at > gone_at]
        assert {one.status for one in refused} == {503}
        assert load.slowest(0.5, refused) < 0.5 * SLACK  # at once, not after a wait
        await arena.start("postgres")


async def test_a_connection_is_killed(arena: Arena) -> None:
    async with under_load(arena, "PostgreSQL: connections terminated, 20 times"):
        for _ in range(20):
            await arena.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'maicivy'"
            )
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("times", short_or_full([1, 11], [1, 2, 3, 5, 8, 11]))
async def test_replies_lost(arena: Arena, times: int) -> None:
    proxy = arena.postgres_proxy
    async with under_load(arena, f"PostgreSQL: {times} replies lost after execution"):
        # the statement runs when its arguments are there, and they hold the event's page
        proxy.lose_replies(times, lambda data: b"chaos" in data and b"/cv" in data)
        await until(lambda: proxy.losing == 0, 60)


@pytest.mark.parametrize(("name", "mode", "delay_seconds"), BAD_NETWORKS)
async def test_bad_network(arena: Arena, name: str, mode: Mode, delay_seconds: float) -> None:
    async with under_load(arena, f"PostgreSQL: {name}"):
        arena.postgres_proxy.turn(mode, delay_seconds)
        await asyncio.sleep(OUTAGE_SECONDS)
        arena.postgres_proxy.turn(Mode.PASS)


@pytest.mark.parametrize("seconds", short_or_full([1, 6], [1, 6, 15]))
async def test_events_are_locked(arena: Arena, seconds: int) -> None:
    name = f"PostgreSQL: events locked for {seconds} s"
    async with under_load(arena, name), arena.session_of() as session, session.transaction():
        await session.execute("LOCK TABLE analytics_events IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(seconds)


async def test_rollups_are_locked(arena: Arena) -> None:
    name = "PostgreSQL: rollups locked for 6 s"
    async with under_load(arena, name), arena.session_of() as session, session.transaction():
        await session.execute("SELECT * FROM rollup_periods FOR UPDATE")
        await asyncio.sleep(6)
