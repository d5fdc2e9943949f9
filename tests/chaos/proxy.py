"""A TCP proxy between the program and one server, which can be told to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHUNK = 65_536


class Mode(enum.Enum):
    """What becomes of the bytes that come through."""

    PASS = "pass"
    """They go on at once."""
    REFUSE = "refuse"
    """Connections are cut, and new ones too."""
    HOLD = "hold"
    """Nothing goes on: a black hole, which keeps what it swallowed."""
    DELAY = "delay"
    """Each piece goes on after `delay_seconds`."""
    TRICKLE = "trickle"
    """One byte a second goes on."""


# Name, mode and delay of each way in which a network is bad.
BAD_NETWORKS = (
    ("black hole", Mode.HOLD, 0),
    ("connections refused", Mode.REFUSE, 0),
    ("2 s latency", Mode.DELAY, 2),
    ("50 ms latency", Mode.DELAY, 0.05),
    ("1 byte a second", Mode.TRICKLE, 0),
)


class Proxy:
    """Listens on a TCP port and speaks to the server behind a Unix socket."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.mode = Mode.PASS
        self.delay_seconds = 0.0
        self.changed = asyncio.Event()
        self.losing = 0
        self.loses: Callable[[bytes], bool] = lambda _: False

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut everything and listen no more."""
        self.turn(Mode.REFUSE)
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cut()

    def turn(self, mode: Mode, delay_seconds: float = 0.0) -> None:
        """Misbehave in another way from now on."""
        self.mode, self.delay_seconds = mode, delay_seconds
        self.changed.set()
        self.changed = asyncio.Event()
        if mode is Mode.REFUSE:
            self.cut()

    def cut(self) -> None:
        """Cut all connections that there are."""
        for connection in list(self._connections):
            connection.cut()

    def hold_only(self, said: bytes) -> int:
        """Swallow for good what goes over connections on which the program once said `said`."""
        chosen = [one for one in self._connections if said in one.said]
        for connection in chosen:
            connection.held = True
        return len(chosen)

    def lose_replies(self, count: int, to: Callable[[bytes], bool]) -> None:
        """Cut the connection when the server answers a request of which `to` is true, `count`
        times: the command has run, and nobody is told.
        """
        self.losing, self.loses = count, to

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, writer)
        self._connections.add(connection)
        try:
            # either end may be gone, which is what faults are about
            with contextlib.suppress(OSError):
                if self.mode is not Mode.REFUSE:
                    await connection.run(reader, self._target)
        finally:
            self._connections.discard(connection)
            connection.cut()


class _Connection:
    """One connection of the program's, and ours to the server."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = client
        self._upstream: asyncio.StreamWriter | None = None
        self._reply_is_lost = False
        self.held = False
        self.said = b""

    def cut(self) -> None:
        for writer in (self._client, self._upstream):
            if writer is not None:
                writer.transport.abort()

    async def run(self, reader: asyncio.StreamReader, target: Path) -> None:
        answers, self._upstream = await asyncio.open_unix_connection(target)
        pumps = [
            asyncio.create_task(self._pump(reader, self._upstream, is_reply=False)),
            asyncio.create_task(self._pump(answers, self._client, is_reply=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if is_reply and self._reply_is_lost:
                    return
                if not is_reply:
                    self._listen(data)
                await self._forward(writer, data)

    def _listen(self, data: bytes) -> None:
        self.said = (self.said + data)[:2048]
        if self._proxy.losing > 0 and self._proxy.loses(data):
            self._proxy.losing -= 1
            self._reply_is_lost = True

    async def _forward(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        proxy = self._proxy
        while self.held or proxy.mode is Mode.HOLD:
            await proxy.changed.wait()
        if proxy.mode is Mode.TRICKLE:
            data = await self._trickle(writer, data)
        elif proxy.mode is Mode.DELAY:
            await asyncio.sleep(proxy.delay_seconds)
        writer.write(data)
        await writer.drain()

    async def _trickle(self, writer: asyncio.StreamWriter, data: bytes) -> bytes:
        """Let bytes through one a second for as long as the mode lasts; return the rest."""
        while data and self._proxy.mode is Mode.TRICKLE:
            writer.write(data[:1])
            data = data[1:]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._proxy.changed.wait()
        return data
