"""Two programs on the same servers: right totals, one cleanup, one delivery for each client."""

from __future__ import annotations

import asyncio
import collections
import json
from typing import TYPE_CHECKING

from tests.chaos.length import short_or_full
from tests.chaos.load import Load
from tests.chaos.oracle import judge
from tests.conftest import until

if TYPE_CHECKING:
    import aiohttp

    from tests.chaos.arena import Arena


async def _watch(socket: aiohttp.ClientWebSocketResponse, seen: collections.Counter[int]) -> None:
    async for message in socket:
        data = json.loads(message.data)
        if "n" in data.get("data", {}):
            seen[data["data"]["n"]] += 1


async def test_two_instances(arena: Arena) -> None:
    await arena.add_program()
    load = Load([program.url for program in arena.programs])
    seen = [collections.Counter[int]() for _ in range(4)]
    sockets = [
        await arena.session.ws_connect(f"{arena.programs[n % 2].url}/ws/analytics")
        for n in range(len(seen))
    ]
    watching = [asyncio.create_task(_watch(*pair)) for pair in zip(sockets, seen, strict=True)]
    async with load.running(workers=4):  # so slow that the live feed is no sample
        await asyncio.sleep(short_or_full(4, 20))
        commands = [asyncio.to_thread(program.run, "cleanup") for program in arena.programs]
        cleanups = await asyncio.gather(*commands)
    assert {one.returncode for one in cleanups} <= {0, 1}, cleanups
    await judge(
        arena, load, "two instances at once", recovery_seconds=await arena.recovered(), lives=2
    )
    expected = dict.fromkeys(load.outcomes, 1)
    await until(lambda: all(len(one) >= len(expected) for one in seen), 5)
    assert [dict(one) == expected for one in seen] == [True] * len(seen)
    for socket in sockets:
        await socket.close()
    await asyncio.gather(*watching)


async def test_one_of_two_instances_is_killed(arena: Arena) -> None:
    second = await arena.add_program()
    load = Load([program.url for program in arena.programs])
    kills, slowest = short_or_full(2, 6), 0.0
    async with load.running():
        for _ in range(kills):
            await asyncio.sleep(1)
            await second.kill()
            await second.start()
            slowest = max(slowest, await arena.recovered())
        await asyncio.sleep(1)
    name = f"one of two instances kill -9, {kills} times"
    await judge(arena, load, name, recovery_seconds=slowest, lives=2 + kills)


async def test_a_night_with_two_instances(arena: Arena) -> None:
    """Both schedulers see that a night was missed; one of them makes up for it."""
    await arena.program.stop()
    await arena.sql("TRUNCATE cleanup_runs")
    await asyncio.gather(arena.program.start(), arena.add_program())

    async def done() -> bool:
        return bool(await arena.sql("SELECT 1 FROM cleanup_runs WHERE status = 'done'"))

    await until(done, 20)
    await asyncio.sleep(1)
    runs = await arena.sql("SELECT status FROM cleanup_runs")
    assert [run["status"] for run in runs] == ["done"]
