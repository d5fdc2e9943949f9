"""The door: how many connections may be open, and how long each may keep the program waiting.

aiohttp waits an hour for a request and for ever for a client to read its answer, and answers what
is no HTTP by quoting it. A connection with a request under way is never cut for time or for room:
its handler has bounds of its own, and so has the live feed.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import resource
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from maicivy.logs import fields
from maicivy.web.answers import error_response, put_standard_headers
from maicivy.web.frames import FrameCheck

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from maicivy.metrics import Metrics

    RequestHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)

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
        self._heads[connection] = _now()
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
            self._heads[connection] = _now()

    def rest(self, connection: Connection) -> None:
        """Wait for the next request: the answer is sent, and none is behind it."""
        if connection in self._open:
            self._idle[connection] = _now()

    def stall(self, connection: Connection) -> None:
        """Wait for the client, which has left so much unread that no more can be written."""
        self._stalled[connection] = _now()

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
            latest = _now() - seconds
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


class Connection(web.RequestHandler):
    """One connection of aiohttp's, which tells the door what it waits for."""

    __slots__ = ("_answering", "_door")

    def __init__(self, server: web.Server, door: Door) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]
            lingering_time=door.bounds.linger_seconds,
            # no handler takes a compressed body, and a broken one would only fill the log
            auto_decompress=False,
        )
        self._door = door
        self._answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the first request has to arrive in time."""
        super().connection_made(transport)
        self._door.enter(self, cast("asyncio.Transport", transport))

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        super().connection_lost(exc)
        self._door.leave(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes, which may complete a request head."""
        super().data_received(data)
        # aiohttp has no public word for a head that has arrived and is not handled yet
        if self._messages:
            self._door.work(self)
        elif data:
            self._door.hear(self)

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:
        """Become a WebSocket, whose frames are looked at first."""
        super().set_parser(cast("Any", FrameCheck(parser)), data_received_cb)

    def pause_writing(self) -> None:
        """Note that the client does not read; the live feed has its own way with such clients."""
        super().pause_writing()
        if self._answering:
            self._door.stall(self)

    def resume_writing(self) -> None:
        """Note that the client reads."""
        super().resume_writing()
        self._door.flow(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer, and see whether the client reads it."""
        self._answering = True
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._answering = False
            if not self._messages:
                self._door.rest(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the client
    ) -> web.StreamResponse:
        """Answer what is no HTTP without quoting it, here or in the log; the connection ends."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request failed outside its handler", exc_info=exc)
            response = error_response(status, "Something went wrong.", "internal_error")
        else:
            log.info("request is no HTTP", extra=fields(error=type(exc).__name__))
            response = error_response(status, "This is not well-formed HTTP.", "malformed_request")
        if request.writer.output_size > 0:
            self._door.rest(self)
            raise ConnectionError("an answer has been begun")
        put_standard_headers(response)
        response.force_close()
        return response


class Runner(web.AppRunner):
    """Runs an application behind the door; `short_way` may answer requests before it."""

    def __init__(
        self,
        app: web.Application,
        door: Door,
        short_way: Callable[[web.Application, RequestHandler], RequestHandler] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(app, **settings)
        self._door = door
        self._short_way = short_way

    # Private: aiohttp has no public place to say of what kind connections are.
    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        handler: Any = plain.request_handler
        if self._short_way is not None:
            handler = self._short_way(self.app, handler)
        return _Server(plain, handler, self._door)


class _Server(web.Server):
    """aiohttp's server, with connections of ours."""

    def __init__(self, plain: web.Server, handler: Any, door: Door) -> None:
        super().__init__(
            handler,
            request_factory=plain.request_factory,
            handler_cancellation=plain.handler_cancellation,
        )
        self._door = door

    def __call__(self) -> Connection:
        return Connection(self, self._door)


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


def _now() -> float:
    return asyncio.get_running_loop().time()
