"""The door: how many connections may be open, and how long each may keep the program waiting.

aiohttp waits an hour for a request and for ever for a client to read its answer. A connection with
a request under way is never cut for time or for room: its handler has bounds of its own, and so has
the live feed.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import resource
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maicivy.metrics import Metrics
    from maicivy.web.connection import Connection

# Descriptors that are left to databases, files being sent, logs and the live feed.
RESERVED_DESCRIPTORS = 512
# Connections that may wait to be accepted: who finds that queue full tries again only after 1 s.
BACKLOG = 1024
SWEEPS = 10


class CutReason(enum.StrEnum):
    """Why a connection was cut; the closed list behind `maicivy_http_connections_cut_total`."""

    HEAD = "head_timeout"
    """No whole request head arrived in time."""
    IDLE = "idle"
    """It was kept alive for a next request that did not come."""
    STALLED = "stalled"
    """Its client does not read the answer."""
    CROWDED = "crowded"
    """It had to make room for a new one."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many connections, and how long each may wait for what."""

    connections: int
    head_seconds: float = 10.0
    idle_seconds: float = 30.0
    stalled_seconds: float = 30.0
    linger_seconds: float = 5.0


class Door:
    """All open connections, and those of them that keep the program waiting, longest first."""

    def __init__(self, bounds: Bounds, metrics: Metrics) -> None:
        self.bounds = bounds
        self._metrics = metrics
        self._open: dict[Connection, asyncio.Transport] = {}
        self._heads: OrderedDict[Connection, float] = OrderedDict()
        self._idle: OrderedDict[Connection, float] = OrderedDict()
        self._stalled: OrderedDict[Connection, float] = OrderedDict()

    async def run(self) -> None:
        """Cut what has kept the program waiting for too long, again and again."""
        bounds = self.bounds
        shortest = min(bounds.head_seconds, bounds.idle_seconds, bounds.stalled_seconds)
        while True:
            await asyncio.sleep(shortest / SWEEPS)
            self._sweep()

    def enter(self, connection: Connection, transport: asyncio.Transport) -> None:
        """Let a new connection in; when all places are taken, the longest at rest has to go."""
        self._open[connection] = transport
        self._heads[connection] = time.monotonic()
        if len(self._open) > self.bounds.connections:
            self._cut(self._longest_at_rest(), CutReason.CROWDED)
        self._count()

    def leave(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._open.pop(connection, None)
        self._stalled.pop(connection, None)
        self.work(connection)
        self._count()

    def work(self, connection: Connection) -> None:
        """Stop waiting: a whole request head has arrived, and its handler is responsible."""
        self._heads.pop(connection, None)
        self._idle.pop(connection, None)

    def hear(self, connection: Connection) -> None:
        """Wait for the rest of a request head from its first byte on."""
        if self._idle.pop(connection, None) is not None:
            self._heads[connection] = time.monotonic()

    def rest(self, connection: Connection) -> None:
        """Wait for the next request: the answer is sent, and none is behind it."""
        if connection in self._open:
            self._idle[connection] = time.monotonic()

    def stall(self, connection: Connection) -> None:
        """Wait for the client, which has left so much unread that no more can be written."""
        self._stalled[connection] = time.monotonic()

    def flow(self, connection: Connection) -> None:
        """Stop waiting for the client, which reads again."""
        self._stalled.pop(connection, None)

    def _sweep(self) -> None:
        bounds = self.bounds
        for waiting, seconds, reason in (
            (self._heads, bounds.head_seconds, CutReason.HEAD),
            (self._idle, bounds.idle_seconds, CutReason.IDLE),
            (self._stalled, bounds.stalled_seconds, CutReason.STALLED),
        ):
            latest = time.monotonic() - seconds
            while waiting and waiting[first := next(iter(waiting))] <= latest:
                self._cut(first, reason)
        self._count()

    def _longest_at_rest(self) -> Connection:
        """Return the connection that has waited longest without a request under way.

        There is one: the connection that has just come.
        """
        fronts = [(line, next(iter(line))) for line in (self._heads, self._idle) if line]
        return min(fronts, key=lambda front: front[0][front[1]])[1]

    def _cut(self, connection: Connection, reason: CutReason) -> None:
        transport = self._open[connection]
        self.leave(connection)
        # not close(), which would wait for ever for a client that does not read
        transport.abort()
        self._metrics.connections_cut.labels(reason).inc()

    def _count(self) -> None:
        self._metrics.http_connections.set(len(self._open))


def fitting_connections(wanted: int) -> int:
    """Raise this process' limit of open files as far as it may, and return how many fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = wanted + RESERVED_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < target:
        raised = target if hard == resource.RLIM_INFINITY else min(hard, target)
        # a system may have a lower limit of its own, or allow no change: then it stays as it was
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, soft - RESERVED_DESCRIPTORS))
