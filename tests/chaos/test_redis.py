"""Redis goes, comes back old, lies, or is slow: events are stored, and the numbers come right."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.length import SLACK, short_or_full
from tests.chaos.load import Load
from tests.chaos.oracle import baseline, judge
from tests.chaos.proxy import BAD_NETWORKS, Mode
from tests.conftest import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.chaos.arena import Arena

OUTAGE_SECONDS = short_or_full(4, 30)


@contextlib.asynccontextmanager
async def under_load(
    arena: Arena, fault: str, *, always_stored: bool = True, **judged: Any
) -> AsyncIterator[Load]:
    """Load the program while the block breaks and heals; then judge.

    With `always_stored`, events are answered 201 all the while, 99 % of them within half a second,
    and so are the numbers.
    """
    load, before = Load([arena.program.url]), await baseline(arena)
    async with load.running():
        await asyncio.sleep(1)
        began = time.monotonic()
        yield load
        recovery = await arena.recovered()
        await asyncio.sleep(1)
    await judge(arena, load, fault, recovery_seconds=recovery, before=before, **judged)
    if always_stored:
        assert {answer.status for answer in load.answers} == {201}, load.codes
        assert {answer.status for answer in load.reads} == {200}
        assert load.slowest(0.99, load.answers, began) < 0.5 * SLACK


async def test_stopped(arena: Arena) -> None:
    async with under_load(arena, f"Redis stopped for {OUTAGE_SECONDS} s"):
        await arena.end("redis", signal.SIGTERM)
        await asyncio.sleep(OUTAGE_SECONDS)
        await arena.start("redis")


async def test_frozen(arena: Arena) -> None:
    pid = arena.server("redis").pid or 0
    async with under_load(arena, f"Redis SIGSTOP for {OUTAGE_SECONDS} s"):
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(OUTAGE_SECONDS)
        os.kill(pid, signal.SIGCONT)


async def test_killed_and_restarted(arena: Arena) -> None:
    async with under_load(arena, "Redis kill -9"):
        await arena.end("redis", signal.SIGKILL)
        await arena.start("redis")


@pytest.mark.parametrize(
    "keys", ["everything", "a counter", "the epoch", "a sketch", "the ranking", "the active set"]
)
async def test_deleted(arena: Arena, keys: str) -> None:
    patterns = {
        "a counter": "analytics:stats:day:*:total_events",
        "the epoch": "analytics:epoch",
        "a sketch": "analytics:visitors:unique:week:*",
        "the ranking": "analytics:themes:top",
        "the active set": "analytics:realtime:visitors",
    }
    async with under_load(arena, f"Redis: {keys} deleted"):
        if keys == "everything":
            await arena.redis.flushall()
        else:
            names = [name async for name in arena.redis.scan_iter(patterns[keys])]
            assert await arena.redis.delete(*names) == len(names) > 0
        await asyncio.sleep(6)  # longer than from one look at Redis to the next


async def test_restarted_empty(arena: Arena) -> None:
    async with under_load(arena, "Redis restarted empty"):
        await arena.end("redis", signal.SIGKILL)
        for file in arena.server("redis").home.iterdir():
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        await arena.start("redis")


async def test_restarted_with_old_data(arena: Arena) -> None:
    home = arena.server("redis").home
    async with under_load(arena, "Redis restarted with old data"):
        await arena.redis.bgrewriteaof()
        await asyncio.sleep(0.5)
        await arena.end("redis", signal.SIGTERM)
        kept = arena.folder / "old"
        shutil.copytree(home, kept)
        await arena.start("redis")
        await asyncio.sleep(2)
        await arena.end("redis", signal.SIGKILL)
        for file in kept.iterdir():
            shutil.copyfile(file, home / file.name)
        await arena.start("redis")


async def test_out_of_memory(arena: Arena) -> None:
    async with under_load(arena, "Redis out of memory"):
        await arena.redis.config_set("maxmemory", 1)
        await asyncio.sleep(OUTAGE_SECONDS)
        await arena.redis.config_set("maxmemory", 0)


@pytest.mark.parametrize("times", short_or_full([1, 11], [1, 2, 3, 5, 8, 11]))
async def test_replies_lost(arena: Arena, times: int) -> None:
    proxy = arena.redis_proxy
    async with under_load(arena, f"Redis: {times} replies lost after execution"):
        proxy.lose_replies(times, lambda data: b"PUBLISH" in data)
        await until(lambda: proxy.losing == 0, 60)


@pytest.mark.parametrize(("name", "mode", "delay_seconds"), BAD_NETWORKS)
async def test_bad_network(arena: Arena, name: str, mode: Mode, delay_seconds: float) -> None:
    async with under_load(arena, f"Redis: {name}"):
        arena.redis_proxy.turn(mode, delay_seconds)
        await asyncio.sleep(OUTAGE_SECONDS)
        arena.redis_proxy.turn(Mode.PASS)


@pytest.mark.parametrize("way", ["killed", "half open"])
async def test_subscription_lost(arena: Arena, way: str) -> None:
    async with arena.session.ws_connect(f"{arena.program.url}/ws/analytics") as socket:
        received: list[dict[str, Any]] = []

        async def watch() -> None:
            async for message in socket:
                received.append(json.loads(message.data))  # noqa: PERF401  # seen as it grows

        watching = asyncio.create_task(watch())
        async with under_load(arena, f"Redis: Pub/Sub connection {way}"):
            if way == "killed":
                assert await arena.redis.client_kill_filter(_type="pubsub") >= 1
            else:
                assert arena.redis_proxy.hold_only(b"SUBSCRIBE") >= 1
            lost_at = len(received)

            def delivered() -> bool:
                return any(message["type"] == "chaos" for message in received[lost_at + 20 :])

            await until(delivered, 10)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
