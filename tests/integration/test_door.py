"""The door: who keeps the program waiting is cut, who is being served is not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.web import door, intake, keys
from maicivy.web.door import Bounds, CutReason
from tests.conftest import API, Client, ClientFactory, send_event, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

SHORT = 0.3
LONG = 60.0
PATIENCE_SECONDS = 10
HEAD = b"GET /health HTTP/1.1\r\nHost: x\r\n"
MEBIBYTE = 1024 * 1024
CROWD = 10_000

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def bounds(**changes: Any) -> Bounds:
    """Return bounds of which only the changed ones can be reached in a test."""
    usual: dict[str, Any] = {"connections": 100, "linger_seconds": SHORT}
    usual |= dict.fromkeys(("head_seconds", "idle_seconds", "stalled_seconds"), LONG)
    return Bounds(**(usual | changes))


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[Client], Any]]:
    """Open connections that are closed after the test."""
    opened: list[asyncio.StreamWriter] = []

    async def make(client: Client) -> Stream:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        opened.append(writer)
        return reader, writer

    yield make
    for writer in opened:
        writer.transport.abort()


async def answer(reader: asyncio.StreamReader) -> bytes:
    """Read one answer of `/health` and leave the connection as it is."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    await asyncio.wait_for(reader.readexactly(length), PATIENCE_SECONDS)
    return head.split()[1]


async def ask(stream: Stream) -> bytes:
    reader, writer = stream
    writer.write(HEAD + b"\r\n")
    return await answer(reader)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Wait until the server ends the connection and return what it still said."""
    with contextlib.suppress(ConnectionResetError):
        return await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    return b""


async def trickle(writer: asyncio.StreamWriter) -> None:
    """Send a byte of a header now and then, for ever."""
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(SHORT / 10)


def cuts(client: Client) -> dict[str, float]:
    value = client.app[keys.METRICS].registry.get_sample_value
    name = "maicivy_http_connections_cut_total"
    found = {reason.value: value(name, {"reason": reason}) for reason in CutReason}
    return {reason: count for reason, count in found.items() if count}


def connections(client: Client) -> Any:
    return client.app[keys.METRICS].registry.get_sample_value("maicivy_http_connections")


async def test_slow_heads_are_cut_while_others_are_answered(
    make_client: ClientFactory, connect: Any
) -> None:
    client = await make_client(bounds=bounds(head_seconds=SHORT))
    silent, slow, other = [await connect(client) for _ in range(3)]
    slow[1].write(HEAD + b"X-Slow: ")
    trickling = asyncio.create_task(trickle(slow[1]))
    while cuts(client).get("head_timeout", 0) < 2:
        assert await ask(other) == b"200"
    assert [await ended(reader) for reader, _ in (silent, slow)] == [b"", b""]
    assert await ask(other) == b"200"
    assert cuts(client) == {"head_timeout": 2}
    trickling.cancel()


async def test_the_next_request_has_its_time_from_its_first_byte(
    make_client: ClientFactory, connect: Any
) -> None:
    client = await make_client(bounds=bounds(head_seconds=SHORT))
    stream = await connect(client)
    assert await ask(stream) == b"200"
    await asyncio.sleep(SHORT * 2)  # longer than a head may take, but nothing has begun
    assert await ask(stream) == b"200"
    stream[1].write(b"GET /hea")
    trickling = asyncio.create_task(trickle(stream[1]))
    assert await ended(stream[0]) == b""
    assert cuts(client) == {"head_timeout": 1}
    trickling.cancel()


async def test_a_connection_that_is_not_used_again_is_closed(
    make_client: ClientFactory, connect: Any
) -> None:
    client = await make_client(bounds=bounds(idle_seconds=SHORT))
    stream = await connect(client)
    for _ in range(3):
        assert await ask(stream) == b"200"
    assert connections(client) == 1
    assert await ended(stream[0]) == b""
    assert cuts(client) == {"idle": 1}
    await until(lambda: connections(client) == 0)


async def test_a_request_under_way_is_not_cut(
    make_client: ClientFactory, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await make_client(bounds=bounds(head_seconds=SHORT, idle_seconds=SHORT))
    gate, store = asyncio.Event(), client.app[keys.WRITER].store

    async def slow(event: Any) -> None:
        await gate.wait()
        await store(event)

    monkeypatch.setattr(client.app[keys.WRITER], "store", slow)
    reader, writer = await connect(client)
    body = b'{"event_type":"x"}'
    writer.write(
        f"POST {API}/event HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n".encode() + body
    )
    writer.write(b"GET /half-a-head")
    await asyncio.sleep(SHORT * 3)
    assert cuts(client) == {}
    gate.set()
    assert await answer(reader) == b"201"
    assert await ended(reader) == b""


async def test_a_live_feed_older_than_every_bound_stays_open(
    make_client: ClientFactory, connect: Any
) -> None:
    # long enough for a handshake on a busy machine
    short = bounds(head_seconds=1, idle_seconds=1, stalled_seconds=1, connections=2)
    client = await make_client(bounds=short)
    async with client.ws_connect("/ws/analytics") as socket:
        await asyncio.sleep(2.5)
        for _ in range(5):  # there is room for one other, so each cuts the one before
            await connect(client)
        await socket.send_json({"type": "ping"})
        while (await socket.receive_json(timeout=PATIENCE_SECONDS))["type"] != "pong":
            pass
    assert cuts(client)["crowded"] >= 4


async def test_a_body_that_stalls_ends_the_connection(
    make_client: ClientFactory, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BODY_SECONDS", SHORT)
    client = await make_client(bounds=bounds())
    reader, writer = await connect(client)
    writer.write(f"POST {API}/event HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{{".encode())
    assert b" 408 " in await ended(reader)
    await until(lambda: connections(client) == 0)
    assert cuts(client) == {}


async def test_a_client_that_does_not_read_its_file_is_cut(
    make_client: ClientFactory, connect: Any, tmp_path: Path
) -> None:
    (tmp_path / "big.pdf").write_bytes(os.urandom(1024) * 1024 * 32)
    client = await make_client(bounds=bounds(stalled_seconds=SHORT), site_dir=tmp_path)
    reader, writer = await connect(client)
    writer.transport.pause_reading()
    writer.write(b"GET /big.pdf HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: cuts(client) == {"stalled": 1})
    await until(lambda: connections(client) == 0)
    writer.transport.resume_reading()
    assert len(await ended(reader)) < 32 * MEBIBYTE


async def test_who_reads_slowly_but_reads_gets_the_whole_file(
    make_client: ClientFactory, connect: Any, tmp_path: Path
) -> None:
    content = os.urandom(1024) * 1024 * 16
    (tmp_path / "big.pdf").write_bytes(content)
    client = await make_client(bounds=bounds(stalled_seconds=SHORT * 2), site_dir=tmp_path)
    reader, writer = await connect(client)
    writer.write(b"GET /big.pdf HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)
    received = bytearray()
    while len(received) < len(content):
        received += await asyncio.wait_for(reader.read(MEBIBYTE), PATIENCE_SECONDS)
        await asyncio.sleep(0.02)
    assert received == content
    await asyncio.sleep(SHORT * 4)  # the last time that it did not read at once is long ago
    assert await ask((reader, writer)) == b"200"
    assert cuts(client) == {}


async def test_when_all_places_are_taken_the_longest_at_rest_makes_room(
    make_client: ClientFactory, connect: Any
) -> None:
    client = await make_client(bounds=bounds(connections=3))
    first, second, third = [await connect(client) for _ in range(3)]
    for stream in (second, first, third):
        assert await ask(stream) == b"200"
    fourth = await connect(client)
    assert await ended(second[0]) == b""
    for stream in (first, third, fourth):
        assert await ask(stream) == b"200"
    assert cuts(client) == {"crowded": 1}
    assert connections(client) == 3


async def test_nobody_is_cut_for_room_while_being_served(
    make_client: ClientFactory, connect: Any
) -> None:
    client = await make_client(bounds=bounds(connections=2))
    sockets = [await client.ws_connect("/ws/analytics") for _ in range(2)]
    late = await connect(client)
    assert await ended(late[0]) == b""
    assert cuts(client) == {"crowded": 1}
    await sockets[0].close()
    await until(lambda: connections(client) == 1)
    assert await ask(await connect(client)) == b"200"
    await sockets[1].close()


def test_the_limit_of_open_files_is_raised_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [1024, 4096]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.__setitem__(slice(2), pair))
    assert door.fitting_connections(100) == 100
    assert limits == [1024, 4096]
    assert door.fitting_connections(2000) == 2000
    assert limits == [2000 + door.RESERVED_DESCRIPTORS, 4096]
    assert door.fitting_connections(20_000) == 4096 - door.RESERVED_DESCRIPTORS
    assert limits == [4096, 4096]
    limits[:] = [256, resource.RLIM_INFINITY]
    assert door.fitting_connections(20_000) == 20_000
    limits[:] = [resource.RLIM_INFINITY, resource.RLIM_INFINITY]
    assert door.fitting_connections(20_000) == 20_000


@pytest.mark.parametrize("refusal", [ValueError, PermissionError])
def test_a_limit_that_may_not_be_raised_stays(
    monkeypatch: pytest.MonkeyPatch, refusal: type[Exception]
) -> None:
    def refuse(*_: Any) -> None:
        raise refusal

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert door.fitting_connections(20_000) == 1024 - door.RESERVED_DESCRIPTORS


# --- a crowd -------------------------------------------------------------------------------------

# Holds that many connections, each of which has been answered once, until its input ends.
CROWD_PROGRAM = """
import socket, sys

host, port, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
crowd = []
for _ in range(number):
    one = socket.create_connection((host, port))
    one.sendall(b"GET /health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    assert one.recv(4096).startswith(b"HTTP/1.1 200 ")
    crowd.append(one)
print("there", flush=True)
sys.stdin.read()
"""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


async def test_ten_thousand_idle_connections(make_client: ClientFactory, connect: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = CROWD + 1000
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"needs {needed} open files; the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))  # the crowd inherits it
    client = await make_client(bounds=bounds(connections=needed, stalled_seconds=SHORT))
    await send_event(client)
    before = descriptors()
    arguments = (str(client.host), str(client.port), str(CROWD))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CROWD_PROGRAM, *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"there\n"
        assert connections(client) >= CROWD
        assert descriptors() >= before + CROWD
        for _ in range(20):
            await send_event(client)
        assert cuts(client) == {}
        client.app[keys.DOOR].bounds = bounds(connections=needed, idle_seconds=0)
        await until(lambda: descriptors() <= before + 10, 60)
        assert cuts(client)["idle"] >= CROWD
        client.app[keys.DOOR].bounds = bounds(connections=needed)
        assert await ask(await connect(client)) == b"200"
    finally:
        await process.communicate(b"")
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
