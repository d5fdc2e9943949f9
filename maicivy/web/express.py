"""The short way of `POST /event`, which comes a thousand times for each other request.

All that one page sends has the same head but for its length, byte for byte. So a head is parsed and
understood once, and remembered for the day. Whatever is unusual takes the long way through
aiohttp's router and middlewares, and all ways take events in by the same `Intake`.
"""

from __future__ import annotations

import os
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from multidict import istr

from maicivy.ingest.ledger import DropReason
from maicivy.web.answers import JSON
from maicivy.web.client import allowed_origin, check_host, session_cookie
from maicivy.web.collect import TRACKED, answer_to, replayed
from maicivy.web.keys import CONFIG, EXTRA_HEADERS, INTAKE, METRICS, PROXIES
from maicivy.web.middleware import explained, put_headers, put_usual_headers, share
from maicivy.web.routes import EVENT

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Coroutine, Mapping

    from aiohttp.http import RawRequestMessage

    from maicivy.ingest.identity import Identity
    from maicivy.periods import Moment
    from maicivy.web.connection import Asked, Told
    from maicivy.web.intake import Known, Taken

# With one of these the long way is taken.
_UNUSUAL = (hdrs.EXPECT, istr("X-Forwarded-Proto"), hdrs.CONTENT_ENCODING)
_BEGIN = f"POST {EVENT} HTTP/1.1\r\n".encode()
_LENGTHS = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")
_LENGTH_SIZE = len(_LENGTHS[0])
# Heads are remembered until there are so many.
MAX_HEADS = 8192
KEY_BYTES = 16
MAX_DIGITS = 5
CREATED = 201

_Parts: TypeAlias = tuple[bytes, bytes]


class Express:
    """Answers whole and plain `POST /event` requests."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._head = _head(app)
        self._intake = app[INTAKE]
        self._proxies = app[PROXIES]
        self._allowed_origins = app[CONFIG].allowed_origins
        self._observe = app[METRICS].observe_request
        # Of one day, by a hash of the head, with the headers that all their answers have.
        self._known: dict[bytes, tuple[Known, str]] = {}
        self._secret = os.urandom(KEY_BYTES)
        self._day: dt.date | None = None

    def recall(self, data: bytes, peer: str) -> Coroutine[Any, Any, Told] | None:
        """Return the answer to an event whose head was read before."""
        parts = _split(data)
        if parts is None:
            return None
        started, moment = time.perf_counter(), self._intake.now()
        if moment.day != self._day:
            self._day = moment.day
            self._known.clear()
        found = self._known.get(self._key(peer, parts[0]))
        return None if found is None else self._again(*found, parts[1], moment, started)

    def takes(self, head: RawRequestMessage) -> bool:
        """Say whether a request is a plain event."""
        if head.path != EVENT or head.method != "POST":
            return False
        headers = head.headers
        return (
            head.version == HttpVersion11
            and not (head.should_close or head.upgrade or head.chunked)
            and not any(name in headers for name in _UNUSUAL)
        )

    async def answer(self, asked: Asked) -> Told:
        """Answer an event whose head is read for the first time."""
        started = time.perf_counter()
        told = await self._first(asked)
        status = CREATED if isinstance(told, bytes) else told[1].status
        self._observe(EVENT, "POST", status, time.perf_counter() - started)
        return told

    async def _first(self, asked: Asked) -> Told:
        request = asked.request
        try:
            check_host(request)
            taken = await self._intake.take(request)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer
            return request, self._finished(request, explained("POST", error))
        if isinstance(taken, DropReason) or not taken.is_new:
            return request, self._finished(request, answer_to(request, taken, self._proxies))
        shared = self._shared(request)
        self._remember(asked, taken, shared)
        return self._tracked(taken.identity, request.get(EXTRA_HEADERS, {}), shared)

    async def _again(
        self, known: Known, shared: str, body: bytes, moment: Moment, started: float
    ) -> bytes:
        """Answer an event whose head is known."""
        told: dict[str, str] = {}
        status = CREATED
        try:
            identity, is_new = await self._intake.take_known(known, body, moment, told)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer
            response = explained("POST", error)
            whole, status = self._whole(response, told, shared), response.status
        else:
            if is_new:
                whole = self._tracked(identity, told, shared)
            else:
                whole = self._whole(replayed(identity, secure=False), told, shared)
        self._observe(EVENT, "POST", status, time.perf_counter() - started)
        return whole

    def _remember(self, asked: Asked, taken: Taken, shared: str) -> None:
        parts, day = _split(asked.whole), taken.sender.moment.day
        if parts is None or day != self._day:
            return
        known = self._intake.know(taken)
        if known is not None:
            if len(self._known) >= MAX_HEADS:
                self._known.clear()
            self._known[self._key(asked.peer, parts[0])] = known, shared

    def _key(self, peer: str, head: bytes) -> bytes:
        """Return what a head is remembered by: it has an address and a cookie in it."""
        whole = b"%s %s" % (peer.encode(), head)
        return blake2b(whole, digest_size=KEY_BYTES, key=self._secret).digest()

    def _finished(self, request: web.Request, response: web.Response) -> web.Response:
        """Put on what the middlewares of the long way would."""
        put_headers(self._app, request, response)
        origin = allowed_origin(request, self._allowed_origins)
        if origin is not None:
            share(response, origin)
        return response

    def _shared(self, request: web.Request) -> str:
        """Return the headers that let pages of another origin read the answer, if they may."""
        origin = allowed_origin(request, self._allowed_origins)
        if origin is None:
            return ""
        shared = web.Response()
        share(shared, origin)
        return _lines(shared.headers)

    def _tracked(self, identity: Identity, told: Mapping[str, str], shared: str) -> bytes:
        """Return the answer to a new event."""
        cookie = ""
        if identity.new_cookie is not None:
            cookie = f"Set-Cookie: {session_cookie(identity, secure=False)}\r\n"
        date = rfc822_formatted_time()
        head = f"{self._head}Date: {date}\r\n{_lines(told)}{cookie}{shared}\r\n"
        return head.encode("latin-1") + TRACKED

    def _whole(self, response: web.Response, told: Mapping[str, str], shared: str) -> bytes:
        """Return another answer to a known head, with what the long way would put on it."""
        put_usual_headers(self._app, response)
        body = bytes(response.body or b"")  # type: ignore[arg-type]
        head = (
            f"HTTP/1.1 {response.status} {response.reason}\r\n{_lines(response.headers)}"
            f"Content-Length: {len(body)}\r\nDate: {rfc822_formatted_time()}\r\n"
            f"{_lines(told)}{shared}\r\n"
        )
        return head.encode("latin-1") + body


def _split(data: bytes) -> _Parts | None:
    """Cut a whole request with an event into its head, without the length, and its body."""
    if not data.startswith(_BEGIN):
        return None
    end = data.find(b"\r\n\r\n")
    start = max(data.find(length, 0, end) for length in _LENGTHS)
    if start < 0:
        return None
    after = data.find(b"\r\n", start + 2)
    length = data[start + _LENGTH_SIZE : after]
    if len(length) > MAX_DIGITS or not length.isdigit() or len(data) != end + 4 + int(length):
        return None
    return data[:start] + data[after:end], data[end + 4 :]


def _head(app: web.Application) -> str:
    """Return what all answers to new events begin with."""
    plain = web.Response()
    put_usual_headers(app, plain)
    headers = {**plain.headers, "Content-Type": JSON, "Content-Length": str(len(TRACKED))}
    return "HTTP/1.1 201 Created\r\n" + _lines(headers)


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
