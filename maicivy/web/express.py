"""The short way of `POST /event`, which comes a thousand times for each other request.

aiohttp looks for a route, walks through middlewares and puts an answer's headers together for each
request; for this one it is done once. Whatever is unusual takes the long way, and so do answers
other than the plain success. Both ways take the event in by the same `Intake`.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time

from maicivy.ingest.ledger import DropReason
from maicivy.web.answers import JSON, put_standard_headers
from maicivy.web.client import allowed_origin, check_host, session_cookie
from maicivy.web.collect import TRACKED, answer_to
from maicivy.web.keys import CONFIG, EXTRA_HEADERS, INTAKE, METRICS, PROXIES
from maicivy.web.middleware import explained, put_headers, share
from maicivy.web.ready import Ready
from maicivy.web.routes import EVENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from maicivy.ingest.identity import Identity

# With one of these the long way is taken.
_UNUSUAL = (hdrs.EXPECT, "X-Forwarded-Proto")


class Express:
    """Handles the plain `POST /event` itself and hands every other request on."""

    def __init__(
        self, app: web.Application, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> None:
        self._app = app
        self._handle = handle
        self._head = _head(app)
        self._proxies = app[PROXIES]
        self._allowed_origins = app[CONFIG].allowed_origins

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, whichever way it takes."""
        if request.raw_path != EVENT or not _is_plain(request):
            return await self._handle(request)
        return await self._handle_event(request)

    async def _handle_event(self, request: web.Request) -> web.StreamResponse:
        started, intake = time.perf_counter(), self._app[INTAKE]
        try:
            check_host(request)
            taken = await intake.take(request)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer
            response: web.StreamResponse = self._finished(request, explained(request, error))
        else:
            if not isinstance(taken, DropReason) and taken[1]:
                response = self._tracked(request, taken[0])
            else:
                response = self._finished(request, answer_to(request, taken, self._proxies))
        self._app[METRICS].observe_request(
            EVENT, "POST", response.status, time.perf_counter() - started
        )
        return response

    def _finished(self, request: web.Request, response: web.Response) -> web.Response:
        """Put on what the middlewares of the long way would."""
        put_headers(self._app, request, response)
        origin = allowed_origin(request, self._allowed_origins)
        if origin is not None:
            share(response, origin)
        return response

    def _tracked(self, request: web.Request, identity: Identity) -> Ready:
        """Return the answer to a new event."""
        lines = [self._head, f"Date: {rfc822_formatted_time()}"]
        lines += [f"{name}: {value}" for name, value in request.get(EXTRA_HEADERS, {}).items()]
        if identity.new_cookie is not None:
            lines.append(f"Set-Cookie: {session_cookie(request, identity, self._proxies)}")
        origin = allowed_origin(request, self._allowed_origins)
        if origin is not None:
            shared = web.Response()
            share(shared, origin)
            lines += [f"{name}: {value}" for name, value in shared.headers.items()]
        head = "\r\n".join(lines).encode("latin-1")
        return Ready(head + b"\r\n\r\n" + TRACKED, HTTPStatus.CREATED)


def _is_plain(request: web.Request) -> bool:
    headers = request.headers
    return (
        request.method == "POST"
        and request.version == HttpVersion11
        and request.keep_alive
        and not request.secure
        and not any(name in headers for name in _UNUSUAL)
    )


def _head(app: web.Application) -> str:
    """Return what all answers to new events begin with."""
    plain = web.Response()
    put_standard_headers(plain)
    if app[CONFIG].allowed_origins:
        plain.headers.add("Vary", "Origin")
    names = {**plain.headers, "Content-Type": JSON, "Content-Length": str(len(TRACKED))}
    lines = [f"{name}: {value}" for name, value in names.items()]
    return "\r\n".join(["HTTP/1.1 201 Created", *lines])
