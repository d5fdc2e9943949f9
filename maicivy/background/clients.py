"""The clients of the live feed: written to at once while they read, else through a queue."""

from __future__ import annotations

import asyncio
import collections
import struct
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

QUEUE_MESSAGES = 512
STALLED_SECONDS = 10.0
# What is handed to a connection at a time; beyond it the client is waited for.
WRITE_BYTES = 64 * 1024

_WHOLE_TEXT = 0x81
_SHORT, _LONG = struct.Struct("!BBH"), struct.Struct("!BBQ")


class Line(Protocol):
    """The way to a client, as `web` knows it."""

    def has_room(self) -> bool:
        """Say whether it is open and what is written now goes out soon."""

    def write(self, frames: bytes) -> None:
        """Write whole frames, without waiting; nothing when it is closed."""


def text_frame(message: bytes) -> bytes:
    """Return a text message as a server sends it (RFC 6455, section 5.2): whole and not masked."""
    size = len(message)
    if size < 126:
        return bytes((_WHOLE_TEXT, size)) + message
    if size < 1 << 16:
        return _SHORT.pack(_WHOLE_TEXT, 126, size) + message
    return _LONG.pack(_WHOLE_TEXT, 127, size) + message


class Client:
    """One connection, and the frames that are still to be sent; `abort` cuts it off at once.

    Nothing is written until `start`: the first numbers come first.
    """

    def __init__(self, abort: Callable[[], None]) -> None:
        self.abort = abort
        self._line: Line | None = None
        self._frames: collections.deque[bytes] = collections.deque()
        self._wake = asyncio.Event()
        self._full_since: float | None = None

    def start(self, line: Line, first: bytes) -> None:
        """Have `first` sent before what waits already; from now on frames may go out at once."""
        self._frames.appendleft(first)
        self._wake.set()
        self._line = line

    def send(self, frames: Sequence[bytes], joined: bytes) -> int:
        """Send frames, which are `joined` in one piece, or queue them.

        Returns how many older ones had to be dropped for them.
        """
        line = self._line
        if line is not None and not self._frames and line.has_room():
            line.write(joined)
            return 0
        self._wake.set()
        self._frames.extend(frames)
        excess = max(0, len(self._frames) - QUEUE_MESSAGES)
        for _ in range(excess):
            self._frames.popleft()
        if excess and self._full_since is None:
            self._full_since = asyncio.get_running_loop().time()
        return excess

    async def take(self) -> bytes:
        """Wait for frames, and return as many as are written at a time."""
        await self._wake.wait()
        taken, size = [], 0
        while self._frames and size < WRITE_BYTES:
            taken.append(self._frames.popleft())
            size += len(taken[-1])
        if not self._frames:
            self._wake.clear()
        self._full_since = None
        return b"".join(taken)

    def stalled(self) -> bool:
        """Say whether the queue has been full for too long."""
        since = self._full_since
        return since is not None and asyncio.get_running_loop().time() - since > STALLED_SECONDS
