"""The short way of `POST /event`, which comes a thousand times for each other request.

What an event's head says is the same for all that one page sends, so it is read once and
remembered for the day. Whatever is unusual takes the long way through aiohttp's router and
middlewares, and all ways take events in by the same `Intake`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from multidict import istr

from maicivy.ingest.ledger import DropReason
from maicivy.web.answers import JSON, put_standard_headers
from maicivy.web.client import allowed_origin, check_host, session_cookie
from maicivy.web.collect import TRACKED, answer_to
from maicivy.web.keys import CONFIG, EXTRA_HEADERS, INTAKE, METRICS, PROXIES
from maicivy.web.middleware import explained, put_headers, share
from maicivy.web.routes import EVENT

CREATED = 201

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from aiohttp.http import RawRequestMessage

    from maicivy.ingest.identity import Identity
    from maicivy.periods import Moment
    from maicivy.web.connection import Asked, Told
    from maicivy.web.intake import Known

# With one of these the long way is taken.
_UNUSUAL = (hdrs.EXPECT, istr("X-Forwarded-Proto"), hdrs.CONTENT_ENCODING)
_FORWARDED_FOR = istr("X-Forwarded-For")
# Everything in a head that says something of an event, beside these.
_TELLING = (
    hdrs.HOST,
    hdrs.USER_AGENT,
    hdrs.ACCEPT_LANGUAGE,
    hdrs.COOKIE,
    hdrs.ORIGIN,
    hdrs.REFERER,
    hdrs.CONTENT_TYPE,
    istr("Sec-Fetch-Site"),
    istr("Sec-GPC"),
    istr("DNT"),
)
# Heads are remembered until there are so many; long ones are not.
MAX_HEADS = 8192
MAX_HEAD_LENGTH = 1024

_Key: TypeAlias = tuple[object, ...]


class Express:
    """Answers whole and plain `POST /event` requests."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._head = _head(app)
        self._intake = app[INTAKE]
        self._proxies = app[PROXIES]
        self._allowed_origins = app[CONFIG].allowed_origins
        self._observe = app[METRICS].observe_request
        # Of one day, with the headers that let pages of another origin read the answer.
        self._known: dict[_Key, tuple[Known, str]] = {}
        self._day: dt.date | None = None

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
        """Store an event and answer."""
        started, key, moment = time.perf_counter(), _key(asked), self._intake.now()
        if moment.day != self._day or len(self._known) >= MAX_HEADS:
            self._day = moment.day
            self._known.clear()
        known = self._known.get(key)
        if known is None:
            told = await self._first(asked, key)
        else:
            told = await self._again(asked, *known, moment)
        status = CREATED if isinstance(told, bytes) else told[1].status
        self._observe(EVENT, "POST", status, time.perf_counter() - started)
        return told

    async def _first(self, asked: Asked, key: _Key) -> Told:
        """Answer a head that is new."""
        request = asked.request()
        try:
            check_host(request)
            taken = await self._intake.take(request)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer
            return self._finished(request, explained(request, error))
        if isinstance(taken, DropReason) or not taken[1]:
            return self._finished(request, answer_to(request, taken, self._proxies))
        shared = self._shared(request)
        if _length(key) <= MAX_HEAD_LENGTH:
            self._remember(key, request, taken[0], shared)
        return self._tracked(taken[0], request.get(EXTRA_HEADERS, {}), shared)

    async def _again(self, asked: Asked, known: Known, shared: str, moment: Moment) -> Told:
        """Answer a head that is known."""
        told: dict[str, str] = {}
        try:
            body = asked.body.read_nowait()
            identity, is_new = await self._intake.take_known(known, body, moment, told)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer
            request = asked.request()
            request[EXTRA_HEADERS] = told
            return self._finished(request, explained(request, error))
        if is_new:
            return self._tracked(identity, told, shared)
        request = asked.request()
        request[EXTRA_HEADERS] = told
        return self._finished(request, answer_to(request, (identity, False), self._proxies))

    def _remember(self, key: _Key, request: web.Request, identity: Identity, shared: str) -> None:
        moment = self._intake.now()
        known = self._intake.know(request, identity, moment)
        if known is not None and moment.day == self._day:
            self._known[key] = known, shared

    def _finished(
        self, request: web.Request, response: web.Response
    ) -> tuple[web.Request, web.Response]:
        """Put on what the middlewares of the long way would."""
        put_headers(self._app, request, response)
        origin = allowed_origin(request, self._allowed_origins)
        if origin is not None:
            share(response, origin)
        return request, response

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


def _key(asked: Asked) -> _Key:
    """Return all of a head that an event depends on."""
    get = asked.head.headers.get
    forwarded = asked.head.headers.getall(_FORWARDED_FOR, None)
    return (
        asked.peer,
        tuple(forwarded) if forwarded else None,
        *[get(name) for name in _TELLING],
    )


def _length(key: _Key) -> int:
    return sum(len(part) for part in key if isinstance(part, str | tuple))


def _head(app: web.Application) -> str:
    """Return what all answers to new events begin with."""
    plain = web.Response()
    put_standard_headers(plain)
    if app[CONFIG].allowed_origins:
        plain.headers.add("Vary", "Origin")
    headers = {**plain.headers, "Content-Type": JSON, "Content-Length": str(len(TRACKED))}
    return "HTTP/1.1 201 Created\r\n" + _lines(headers)


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
