"""Redis' copy of a million visitors in 90 days: how large it is, and how soon it is there again.

BENCH_EVENTS, BENCH_DAYS and BENCH_VISITORS make it smaller.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

import redis.asyncio

from bench.dataset import Size, command, prepared
from bench.figures import Figure
from bench.program import running
from maicivy import embedded

if TYPE_CHECKING:
    from pathlib import Path

    from bench.program import Program

VISITORS = 1_000_000
PATIENCE_SECONDS = 120.0

_FILLED = re.compile(r"Redis filled from PostgreSQL.*?seconds=([0-9.]+)")


async def filled(program: Program, times: int) -> float:
    """Wait until Redis has been filled so often; return the seconds of the last filling alone."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = _FILLED.findall(program.log.read_text())
        if len(found) >= times:
            return float(found[-1])
        await asyncio.sleep(0.01)
    raise SystemExit(program.log.read_text())


async def measure(rounds: int) -> list[Figure]:
    """Weigh the copy, then throw it away and see it come back."""
    size = Size.asked(VISITORS)
    async with prepared(size) as (data, count):
        empty = await memory_of_nothing(data)
        with running({"MAICIVY_DATA_DIR": str(data)}) as program:
            times = 1
            await filled(program, times)
            with embedded.attach_or_start(data) as servers:
                client = redis.asyncio.Redis.from_url(servers.redis_url or "")
                full = await used_memory(client)
                whole, alone = [], []
                for _ in range(rounds):
                    await client.flushall()
                    started, times = time.perf_counter(), times + 1
                    alone.append(await filled(program, times))
                    whole.append(time.perf_counter() - started)
                await client.aclose()
            differs = await asyncio.to_thread(command, data, "verify")
    return [
        Figure("events", "", (count,)),
        Figure(
            "Redis' memory for the copy", "MB", ((full - empty) / 1e6,), promise="at most 10 MB"
        ),
        Figure("the copy filled again", "s", tuple(alone), promise="under 5 s"),
        Figure("the same, from FLUSHALL on", "s", tuple(whole)),
        Figure("`run.py verify` afterwards", "exit code", (differs,), promise="0"),
    ]


async def used_memory(client: redis.asyncio.Redis) -> int:
    """Return the bytes that Redis says it uses for data."""
    return int((await client.info("memory"))["used_memory"])


async def memory_of_nothing(data: Path) -> int:
    """Return what an empty Redis uses, with as many connections as the program has in a while."""
    with embedded.start(data) as servers:
        client = redis.asyncio.Redis.from_url(servers.redis_url or "")
        await client.flushall()
        used = await used_memory(client)
        await client.aclose()
    return used
