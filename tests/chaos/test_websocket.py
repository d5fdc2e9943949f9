"""Clients of the live feed that do not read, vanish, come in crowds: nobody else notices."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import time
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.chaos.length import short_or_full
from tests.chaos.load import Load
from tests.chaos.oracle import baseline, judge
from tests.conftest import until

if TYPE_CHECKING:
    from tests.chaos.arena import Arena

SMALL_BUFFER = 4096


def _handshake(port: int) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /ws/analytics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()


def _deaf(port: int) -> socket.socket:
    """Connect to the feed, and read nothing of it but the handshake."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    client.connect(("127.0.0.1", port))
    client.sendall(_handshake(port))
    assert client.recv(12) == b"HTTP/1.1 101"
    return client


async def _connections(arena: Arena) -> float:
    return await arena.metric("maicivy_websocket_connections")


async def test_a_client_that_never_reads(arena: Arena) -> None:
    load, before = Load([arena.program.url]), await baseline(arena)
    reader = await arena.session.ws_connect(f"{arena.program.url}/ws/analytics")
    gaps: list[float] = []

    async def watch() -> None:
        last = time.monotonic()
        async for _ in reader:
            gaps.append(time.monotonic() - last)
            last = time.monotonic()

    watching = asyncio.create_task(watch())
    deaf = await asyncio.to_thread(_deaf, arena.program.port)
    # each event carries 12 KiB, so that the kernel's buffers are soon full
    padding = {"event_type": "padding", "event_data": {f"k{n}": "x y " * 100 for n in range(30)}}
    async with load.running():
        closed = asyncio.create_task(_until_gone(arena, 1))
        number = 0
        while not closed.done():
            number += 1
            headers = {"X-Forwarded-For": f"10.252.{number // 250 % 250}.{number % 250}"}
            url = f"{arena.program.url}/api/v1/analytics/event"
            async with arena.session.post(url, json=padding, headers=headers) as response:
                assert response.status == 201
        await closed
    assert max(gaps[5:]) < 3
    deaf.close()
    await reader.close()
    await watching
    await judge(
        arena,
        load,
        "a WebSocket client that never reads",
        recovery_seconds=await arena.recovered(),
        before=before,
        note=f"{await arena.metric('maicivy_websocket_messages_skipped_total'):.0f} skipped for it",
    )


async def _until_gone(arena: Arena, left: int) -> None:
    async def gone() -> bool:
        return await _connections(arena) == left

    await until(gone, 60)


@pytest.mark.timeout(120)
async def test_a_client_that_vanished(arena: Arena) -> None:
    """Nothing is heard of it any more, not even that it is gone; pings find out."""
    before = await baseline(arena)
    vanished = await asyncio.to_thread(_deaf, arena.program.port)
    assert await _connections(arena) == 1
    await _until_gone(arena, 0)
    vanished.close()
    load = Load([arena.program.url])
    async with load.running():
        await asyncio.sleep(1)
    await judge(
        arena,
        load,
        "a WebSocket client half open",
        recovery_seconds=await arena.recovered(),
        before=before,
    )


async def test_coming_and_going(arena: Arena) -> None:
    load, before = Load([arena.program.url]), await baseline(arena)
    rounds = short_or_full(100, 500)
    async with load.running():
        for turn in range(rounds):
            client = await arena.session.ws_connect(f"{arena.program.url}/ws/analytics")
            if turn % 3:
                await client.close()
            else:
                client._response.close()  # without a goodbye
        recovery = await arena.recovered()
    await _until_gone(arena, 0)
    name = f"{rounds} WebSocket clients come and go"
    await judge(arena, load, name, recovery_seconds=recovery, before=before)


async def test_one_too_many(arena: Arena) -> None:
    load, before = Load([arena.program.url]), await baseline(arena)
    url = f"{arena.program.url}/ws/analytics"
    async with load.running():
        clients = [await arena.session.ws_connect(url) for _ in range(50)]
        for _ in range(3):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await arena.session.ws_connect(url)
            assert refused.value.status == 503
        await clients.pop().close()
        await _until_gone(arena, 49)
        clients.append(await arena.session.ws_connect(url))
        recovery = await arena.recovered()
        await asyncio.gather(*(client.close() for client in clients))
    await _until_gone(arena, 0)
    name = "the 51st WebSocket client"
    await judge(arena, load, name, recovery_seconds=recovery, before=before)
