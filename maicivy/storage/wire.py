"""One connection to Redis for what is asked all the time: scripts, one behind the other.

The library makes the connection, with whatever the URL asks for. What goes through it then is
written and read here, for the library spends more time on a command than Redis does.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from typing import Any, cast

import redis.asyncio
from redis.exceptions import BusyLoadingError, RedisError, ResponseError


class Wire:
    """Runs scripts on a connection of its own, which is made anew when it was lost."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._line: _Line | None = None
        self._connecting = asyncio.Lock()

    async def run(self, script: str, *values: object) -> Any:
        """Return what `script` returns for `values`, all of which are its ARGV.

        Raises `RedisError` or `OSError`. Whoever stops waiting leaves the others' answers whole.
        """
        line = self._line
        if line is None or line.lost:
            line = await self._connect()
        return await line.ask(b"EVAL", script.encode(), b"0", *map(_written, values))

    def drop(self) -> None:
        """Begin anew with the next script: this connection does not answer."""
        line, self._line = self._line, None
        if line is not None:
            line.abort()

    async def _connect(self) -> _Line:
        async with self._connecting:
            if self._line is None or self._line.lost:
                pool: Any = self._client.connection_pool
                connection = pool.make_connection()
                try:
                    await connection.connect()
                except BaseException:
                    with contextlib.suppress(RedisError, OSError):
                        await connection.disconnect(nowait=True)
                    raise
                self._line = _Line(connection)
            return self._line


class _Line(asyncio.Protocol):
    """A connection and those who wait for its answers, in the order of their questions."""

    def __init__(self, connection: Any) -> None:
        # kept, for the library closes a connection that nobody holds
        self._connection = connection
        # Private: the library has no word for it, and asyncio lets protocols be exchanged.
        self._transport = cast("asyncio.Transport", connection._writer.transport)  # noqa: SLF001
        self._transport.set_protocol(self)
        self._waiting: collections.deque[asyncio.Future[Any]] = collections.deque()
        self._held = b""
        self.lost = False

    async def ask(self, *parts: bytes) -> Any:
        """Return the answer to one command."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._transport.write(command(*parts))
        answer = await future
        if isinstance(answer, RedisError):
            raise answer
        return answer

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()
        self.connection_lost(None)

    def data_received(self, data: bytes) -> None:
        """Answer those whose answers are whole."""
        data, place = self._held + data, 0
        try:
            while (found := read_value(data, place)) is not None:
                answer, place = found
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(answer)
        except (ValueError, IndexError):
            self.abort()
        self._held = data[place:]

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell everybody who waits."""
        self.lost = True
        # Private as well: its public word for it wants to be awaited.
        self._connection._close()  # noqa: SLF001
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(redis.ConnectionError(type(exc).__name__))


def command(*parts: bytes) -> bytes:
    """Return a command as Redis reads it."""
    written = b"".join([b"$%d\r\n%s\r\n" % (len(part), part) for part in parts])
    return b"*%d\r\n%s" % (len(parts), written)


def read_value(data: bytes, start: int) -> tuple[Any, int] | None:
    """Return the value (RESP 2) that begins at `start`, and where the next one does.

    None when it is not whole yet. An error is returned as the exception that it is. Raises
    `ValueError` for what is no value.
    """
    end = data.find(b"\r\n", start)
    if end < 0:
        return None
    kind, head, place = data[start : start + 1], data[start + 1 : end], end + 2
    if kind == b":":
        return int(head), place
    if kind == b"+":
        return head, place
    if kind == b"-":
        return _error(head.decode(errors="replace")), place
    if kind == b"$":
        return _bulk(data, place, int(head))
    if kind == b"*":
        return _array(data, place, int(head))
    raise ValueError("no value of Redis")


def _bulk(data: bytes, place: int, length: int) -> tuple[bytes | None, int] | None:
    if length < 0:
        return None, place
    end = place + length
    return (data[place:end], end + 2) if len(data) >= end + 2 else None


def _array(data: bytes, place: int, length: int) -> tuple[list[Any] | None, int] | None:
    if length < 0:
        return None, place
    values = []
    for _ in range(length):
        found = read_value(data, place)
        if found is None:
            return None
        value, place = found
        values.append(value)
    return values, place


def _error(text: str) -> RedisError:
    return BusyLoadingError(text) if text.startswith("LOADING") else ResponseError(text)


def _written(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
