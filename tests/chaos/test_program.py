"""The program itself is killed and stopped."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from typing import TYPE_CHECKING

from tests.chaos.length import short_or_full
from tests.chaos.load import Load
from tests.chaos.oracle import judge
from tests.conftest import API, BROWSER

if TYPE_CHECKING:
    import aiohttp

    from tests.chaos.arena import Arena

SOCKETS = 50


async def test_killed_at_random_moments(arena: Arena) -> None:
    load, chance = Load([arena.program.url]), random.Random(1)
    kills, slowest = short_or_full(4, 20), 0.0
    async with load.running(workers=16):  # so that some are under way at any moment
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.3, 1.2))
            await arena.program.kill()
            await arena.program.start()
            slowest = max(slowest, await arena.recovered())
        await asyncio.sleep(1)
    name = f"program kill -9, {kills} times"
    await judge(arena, load, name, recovery_seconds=slowest, lives=kills + 1)


async def test_stopped_with_a_request_under_way_and_sockets_open(arena: Arena) -> None:
    load = Load([arena.program.url], insist=False)
    feed = f"{arena.program.url}/ws/analytics"
    sockets = [await arena.session.ws_connect(feed) for _ in range(SOCKETS)]
    watching = [asyncio.create_task(_close_code(socket)) for socket in sockets]
    reader, writer = await asyncio.open_connection("127.0.0.1", arena.program.port)
    body = json.dumps({"event_type": "chaos", "event_data": {"n": 10_000_000}}).encode()
    head = (
        f"POST {API}/event HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: {BROWSER}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body[:-1])
    await writer.drain()
    async with load.running():
        await asyncio.sleep(1)
        arena.program.signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        writer.write(body[-1:])
        answer = await asyncio.wait_for(reader.read(64), 10)
        code = await arena.program.ended()
        writer.close()
    assert code == 0
    assert answer.split()[1] in {b"201", b"503"}, answer
    assert [await one for one in watching] == [1001] * SOCKETS
    [row] = await arena.sql(
        "SELECT count(*) FROM analytics_events WHERE event_data ->> 'n' = '10000000'"
    )
    assert row[0] == (answer.split()[1] == b"201")
    await arena.program.start()
    recovery = await arena.recovered()
    name = "program SIGTERM, a request half sent, 50 sockets"
    await judge(arena, load, name, recovery_seconds=recovery, lives=2)


async def _close_code(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """Read until the server says goodbye, and return how."""
    async for message in socket:
        assert json.loads(message.data)
    return socket.close_code
