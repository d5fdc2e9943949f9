"""What Redis is asked, byte by byte, and who gets which answer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from maicivy.storage import wire
from maicivy.storage.wire import command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


def test_a_command_is_written_as_redis_reads_it() -> None:
    assert command(b"PING") == b"*1\r\n$4\r\nPING\r\n"
    assert command(b"SET", b"k", b"\r\n") == b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n"


class Deaf:
    """A connection of the library's whose other end never answers."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._writer = SimpleNamespace(transport=transport)

    def _close(self) -> None:
        self._writer.transport.close()


async def test_answers_come_together_and_to_whoever_asked() -> None:
    async with _line() as (line, theirs):
        first = asyncio.create_task(line.ask([("PING",), ("GET", "a")]))
        second = asyncio.create_task(line.ask([("GET", "b")]))
        await asyncio.sleep(0.01)
        theirs.sendall(b"+PONG\r\n")
        await asyncio.sleep(0.01)
        assert not first.done()
        theirs.sendall(b"-ERR no\r\n$1\r\nb\r\n")
        pong, error = await first
        assert (pong, type(error)) == (b"PONG", ResponseError)
        assert await second == [b"b"]


async def test_who_is_not_answered_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wire, "ANSWER_SECONDS", 0.05)
    told = 0
    async with _line() as (line, _):
        try:
            await line.ask([("PING",), ("GET", "a"), ("GET", "b")])
        except TimeoutError:  # not kept, for it holds what would complain when it is forgotten
            told += 1
        await asyncio.sleep(0.1)
        line.abort()
    gc.collect()
    assert (told, caplog.messages) == (1, [])


@contextlib.asynccontextmanager
async def _line() -> AsyncIterator[tuple[wire._Line, socket.socket]]:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    yield wire._Line(Deaf(transport)), theirs
    transport.close()
    theirs.close()
