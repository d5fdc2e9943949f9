"""One connection to Redis for what is asked all the time: scripts and reads, one behind the other.

The library makes the connection, with whatever the URL asks for. What goes through it then is
written and read here, for the library spends more time on a command than Redis does.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import redis.asyncio
from redis.exceptions import RedisError

from maicivy.storage.deadlines import Deadlines
from maicivy.storage.replies import new_replies

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECT_SECONDS = 0.25
ANSWER_SECONDS = 0.5


class Wire:
    """Asks on a connection of its own, which is made anew when it was lost."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._line: _Line | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, *commands: Sequence[object]) -> list[Any]:
        """Return the answers to `commands`, which go out together, errors of Redis among them.

        Raises `RedisError` or `OSError`, of which `TimeoutError` is one, when there is no answer.
        Whoever stops waiting leaves the others' answers whole.
        """
        line = self._line
        if line is None or line.lost:
            line = await self._connect()
        return await line.ask(commands)

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
                    async with asyncio.timeout(CONNECT_SECONDS):
                        await connection.connect()
                except BaseException:
                    with contextlib.suppress(RedisError, OSError):
                        await connection.disconnect(nowait=True)
                    raise
                self._line = _Line(connection)
            return self._line


class _Asked(NamedTuple):
    """Who waits for how many answers, and those that have come."""

    future: asyncio.Future[list[Any]]
    wanted: int
    answers: list[Any]


class _Line(asyncio.Protocol):
    """A connection and those who wait for its answers, in the order of their questions."""

    def __init__(self, connection: Any) -> None:
        # kept, for the library closes a connection that nobody holds
        self._connection = connection
        # Private: the library has no word for it, and asyncio lets protocols be exchanged.
        self._transport = cast("asyncio.Transport", connection._writer.transport)  # noqa: SLF001
        self._transport.set_protocol(self)
        self._waiting: collections.deque[_Asked] = collections.deque()
        self._replies = new_replies()
        self._deadlines = Deadlines(ANSWER_SECONDS, TimeoutError)
        self.lost = False

    async def ask(self, commands: Sequence[Sequence[object]]) -> list[Any]:
        """Return the answers to `commands`; raises `TimeoutError`."""
        future: asyncio.Future[list[Any]] = self._deadlines.future()
        self._waiting.append(_Asked(future, len(commands), []))
        self._transport.write(b"".join([command(*map(_written, parts)) for parts in commands]))
        return await future

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()
        self.connection_lost(None)

    def data_received(self, data: bytes) -> None:
        """Answer those whose answers are whole."""
        try:
            for answer in self._replies.feed(data):
                future, wanted, answers = self._waiting[0]
                answers.append(answer)
                if len(answers) == wanted:
                    self._waiting.popleft()
                    if not future.done():
                        future.set_result(answers)
        except (ValueError, IndexError):
            self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell everybody who waits."""
        self.lost = True
        # Private as well: its public word for it wants to be awaited.
        self._connection._close()  # noqa: SLF001
        while self._waiting:
            future, _, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(redis.ConnectionError(type(exc).__name__))


def command(*parts: bytes) -> bytes:
    """Return a command as Redis reads it."""
    written = b"".join([b"$%d\r\n%s\r\n" % (len(part), part) for part in parts])
    return b"*%d\r\n%s" % (len(parts), written)


def _written(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
