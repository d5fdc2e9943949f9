"""aiohttp's connections, which tell the door what they wait for and know a short way.

aiohttp answers what is no HTTP by quoting it, and has a task, a route and several middlewares for
each request. Some requests come a thousand times for each other one: a `ShortWay` answers these,
one at a time on each connection, as soon as they are there.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, cast

from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_writer import StreamWriter

from maicivy.logs import fields
from maicivy.web.answers import error_response, put_standard_headers
from maicivy.web.frames import FrameCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiohttp import StreamReader

    from maicivy.web.door import Door

log = logging.getLogger(__name__)


class Asked(NamedTuple):
    """A whole request: as handlers know it, whence it came and, where that is known, its bytes."""

    request: web.Request
    peer: str
    whole: bytes


# The bytes of a whole answer, or an answer and the request that it is for.
Told: TypeAlias = "bytes | tuple[web.Request, web.StreamResponse]"


class ShortWay(Protocol):
    """Answers some requests without what aiohttp does for each.

    Every error becomes an answer, and every wait is bounded.
    """

    def recall(self, data: bytes, peer: str) -> Coroutine[Any, Any, Told] | None:
        """Return the answer to bytes that are a request of which all but the body is known."""

    def takes(self, head: RawRequestMessage) -> bool:
        """Say whether this way is for a request with such a head."""

    def answer(self, asked: Asked) -> Coroutine[Any, Any, Told]:
        """Return the answer to a request."""


class Connection(web.RequestHandler):
    """One connection of aiohttp's, which tells the door what it waits for.

    While a request goes the short way, aiohttp's own task is held: it waits for the next one.
    """

    __slots__ = ("_answering", "_door", "_held", "_is_between", "_peer", "_short", "_short_way")

    def __init__(self, server: web.Server, door: Door, short_way: ShortWay | None) -> None:
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
        self._short_way = short_way
        self._held: asyncio.Future[None] | None = None
        self._short: asyncio.Task[None] | None = None
        self._peer = ""
        # The parser has read whole requests only, each of them in one piece.
        self._is_between = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the first request has to arrive in time."""
        super().connection_made(transport)
        self._door.enter(self, cast("asyncio.Transport", transport))
        peer = self.peername
        if isinstance(peer, tuple) and self.ssl_context is None:
            self._peer = peer[0]
        else:
            self._short_way = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """End; what goes the short way goes on."""
        super().connection_lost(exc)
        if self._held is not None:
            self._held.cancel()
        self._door.leave(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes, which may complete a request head."""
        # aiohttp has no public word for any of this: its task waits for `_waiter`, and is woken
        # only when it is known which way the request goes
        waiter, short_way = self._waiter, self._short_way
        if short_way is None or waiter is None or waiter.done() or self._paused or self._messages:
            self._parse(data)
            return
        answering = short_way.recall(data, self._peer) if self._is_between else None
        if answering is None:
            self._waiter = None
            self._parse(data)
            if self._is_for(short_way):
                answering = short_way.answer(self._asked(data))
            elif self._messages:
                waiter.set_result(None)
            self._waiter = waiter
        if answering is not None:
            self._door.work(self)
            self._waiter, self._held, self._request_in_progress = None, waiter, True
            self._short = self._loop.create_task(self._go(answering))

    def _parse(self, data: bytes) -> None:
        is_first = not self._messages
        super().data_received(data)
        self._is_between = self._is_between and is_first and self._is_one(data)
        if self._messages:
            self._door.work(self)
        elif data:
            self._door.hear(self)

    def _is_one(self, data: bytes) -> bool:
        """Say whether `data` is a request that was parsed: nothing of a next one is behind it."""
        if len(self._messages) != 1:
            return False
        head, body = self._messages[0]
        if not isinstance(head, RawRequestMessage) or head.chunked or head.upgrade:
            return False
        length = head.headers.get(hdrs.CONTENT_LENGTH, "0")
        return body.is_eof() and len(data) == data.find(b"\r\n\r\n") + 4 + int(length)

    def _is_for(self, short_way: ShortWay) -> bool:
        """Say whether the one request that is there is whole and of the kind for `short_way`."""
        if len(self._messages) != 1:
            return False
        head, body = self._messages[0]
        return isinstance(head, RawRequestMessage) and body.is_eof() and short_way.takes(head)

    def _asked(self, data: bytes) -> Asked:
        """Take the one request that is there from aiohttp."""
        head, body = cast("tuple[RawRequestMessage, StreamReader]", self._messages.popleft())
        if self._parser is not None:
            self._parser.message_consumed()
        factory = cast("Callable[..., web.Request]", self._request_factory)
        writer = StreamWriter(self, self._loop)
        request = factory(head, body, self, writer, self._task_handler)
        return Asked(request, self._peer, data if self._is_between else b"")

    async def _go(self, answering: Coroutine[Any, Any, Told]) -> None:
        """Answer a request on the short way, and let aiohttp's task go on."""
        is_last = True
        try:
            told = await answering
            if isinstance(told, bytes):
                if self.transport is not None:
                    self.transport.write(told)
                is_last = False
            else:
                response, is_lost = await self.finish_response(*told, None)
                is_last = is_lost or not response.keep_alive
        finally:
            self._arrive(is_last=is_last)

    def _arrive(self, *, is_last: bool) -> None:
        """Go on with the next request, if there is one and the connection stays."""
        held, self._held, self._short = self._held, None, None
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        if held is None or held.done():
            return
        if is_last or self._close or self._force_close:
            held.cancel()
            if self.transport is not None:
                self.transport.close()
            return
        self._waiter = held
        if self._messages:
            held.set_result(None)
        else:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            self._door.rest(self)

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:
        """Become a WebSocket, whose frames are looked at first."""
        super().set_parser(cast("Any", FrameCheck(parser)), data_received_cb)

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002
        """Go on reading; aiohttp asks for it after each body, and has its parser look again."""
        if self._reading_paused or self._buffer_paused or self._upgraded:
            super().resume_reading(resume_parser)

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
    """Runs an application behind the door; `short_way` makes what answers some requests."""

    def __init__(
        self,
        app: web.Application,
        door: Door,
        short_way: Callable[[web.Application], ShortWay] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(app, **settings)
        self._door = door
        self._short_way = short_way

    # Private: aiohttp has no public place to say of what kind connections are.
    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        short_way = self._short_way(self.app) if self._short_way is not None else None
        return _Server(plain, self._door, short_way)


class _Server(web.Server):
    """aiohttp's server, with connections of ours."""

    def __init__(self, plain: web.Server, door: Door, short_way: ShortWay | None) -> None:
        super().__init__(
            plain.request_handler,
            request_factory=plain.request_factory,
            handler_cancellation=plain.handler_cancellation,
        )
        self._door = door
        self._short_way = short_way

    def __call__(self) -> Connection:
        return Connection(self, self._door, self._short_way)
