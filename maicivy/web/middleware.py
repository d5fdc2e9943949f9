"""What happens around every request, outermost first: answers, then pages and their tracking."""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from maicivy.errors import ApiError, InvalidRequest, StorageUnavailable, Unavailable
from maicivy.ingest.client import ClientKind
from maicivy.ingest.event import make_event, page_view
from maicivy.ingest.ledger import DropReason
from maicivy.ingest.pages import UNTRACKED
from maicivy.logs import fields
from maicivy.periods import Moment
from maicivy.web.access import keep_private
from maicivy.web.ahead import is_ahead
from maicivy.web.answers import error_response, put_standard_headers
from maicivy.web.client import allowed_origin, check_host, client_of, is_https, session_cookie
from maicivy.web.files import file_response, find_file
from maicivy.web.keys import (
    ADDRESSES,
    AHEAD,
    CLOCK,
    CONFIG,
    EXTRA_HEADERS,
    IDENTIFIER,
    INTAKE,
    LEDGER,
    METRICS,
    PARAMETERS,
    PROXIES,
    READER,
    UNCOUNTED,
    WRITER,
)

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from maicivy.ingest.event import Event
    from maicivy.ingest.identity import Identity

log = logging.getLogger(__name__)

ANALYTICS = "/api/v1/analytics"
PREFLIGHT_SECONDS = 7200

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_EXPOSED = (
    "RateLimit, RateLimit-Policy, Retry-After, "
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"
)


@web.middleware
async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer whatever is asked: explained, for configured origins to read, and measured."""
    started = time.perf_counter()
    origin = allowed_origin(request, request.app[CONFIG].allowed_origins)
    if origin is not None and _is_preflight(request):
        response: web.StreamResponse = _preflight()
    else:
        response = await explain(request, handler)
    if origin is not None and not response.prepared:
        share(response, origin)
    if request.path.startswith(ANALYTICS) or request.path == request.app[CONFIG].collect_path:
        resource = request.match_info.route.resource
        request.app[METRICS].observe_request(
            resource.canonical if resource else "unmatched",
            _method(request),
            response.status,
            time.perf_counter() - started,
        )
    return response


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into an answer."""
    try:
        check_host(request)
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return _http_error(request, error)
    except Exception as error:  # noqa: BLE001 - every error becomes an answer
        return explained(_method(request), error)


def explained(method: str, error: Exception) -> web.Response:
    """Return an error in the contract's JSON: a sentence and a code, nothing internal."""
    if isinstance(error, ConnectionError):
        # whoever sent half a request and left hears this no more
        error = InvalidRequest("The connection was lost.", code="connection_lost")
    if isinstance(error, StorageUnavailable):
        error = Unavailable("The numbers are not available now; try again soon.")
    if isinstance(error, ApiError):
        return error_response(error.status, error.message, error.code, error.headers)
    log.error("request failed", exc_info=error, extra=fields(method=method))
    return error_response(500, "Something went wrong on the server.", "internal_error", {})


@web.middleware
async def pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Serve the site where no route answers, and count a view of every HTML page that is answered.

    The page never waits for it.
    """
    if request.method not in {"GET", "HEAD"}:
        return await handler(request)
    response = _page_of_site(request) or await handler(request)
    if _is_page(request, response):
        try:
            if is_ahead(request):
                request.app[AHEAD].note(request)
            else:
                request.app[AHEAD].take(request, request.path)
                _track_page(request, response)
        except Exception:
            log.exception("page view not tracked")
    return response


def _page_of_site(request: web.Request) -> web.StreamResponse | None:
    """Return a file of the configured folder, if the address is no route of the program's own."""
    folder = request.app[CONFIG].site_dir
    if folder is None or not isinstance(request.match_info.http_exception, web.HTTPNotFound):
        return None
    file = find_file(folder, request.path)
    if file is None:
        return None
    return file_response(file, request.app[CONFIG].content_security_policy)


def _is_preflight(request: web.Request) -> bool:
    asked = request.headers.get("Access-Control-Request-Method")
    return request.method == "OPTIONS" and bool(asked)


def _preflight() -> web.Response:
    """Return the answer to a browser that asks what pages of another origin may do."""
    headers = {
        "Access-Control-Allow-Methods": "GET, POST, DELETE",
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
    return web.Response(status=204, headers=headers)


def share(response: web.StreamResponse, origin: str) -> None:
    """Let pages of `origin` read the answer."""
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Allow-Credentials"] = "true"
    response.headers["Access-Control-Expose-Headers"] = _EXPOSED


def _reword(response: web.HTTPExpectationFailed) -> None:
    """Say what is wrong as `explain` does, which never sees it; aiohttp would quote the header."""
    message = "Expect can only be 100-continue."
    error = error_response(response.status, message, "expectation_failed")
    response.body = error.body
    response.content_type = error.content_type
    response.headers["Content-Length"] = str(error.content_length)


async def guard(request: web.Request, response: web.StreamResponse) -> None:
    """Put the headers on that every answer has, those that aiohttp gives by itself included."""
    if isinstance(response, web.HTTPExpectationFailed):
        _reword(response)
    put_headers(request.app, request, response)


def put_headers(app: web.Application, request: web.Request, response: web.StreamResponse) -> None:
    """Put the headers on that every answer has."""
    put_usual_headers(app, response)
    headers = response.headers
    if READER in request:
        keep_private(response)
    if is_https(request, app[PROXIES]):
        # Browsers ignore both over plain HTTP, the second with a complaint.
        headers["Strict-Transport-Security"] = "max-age=31536000"
        headers["Cross-Origin-Opener-Policy"] = "same-origin-allow-popups"
    extra = request.get(EXTRA_HEADERS)
    if extra is not None:
        headers.update(extra)


def put_usual_headers(app: web.Application, response: web.StreamResponse) -> None:
    """Put the headers on that do not depend on the request."""
    put_standard_headers(response)
    if app[CONFIG].allowed_origins:
        response.headers.add("Vary", "Origin")


def _is_page(request: web.Request, response: web.StreamResponse) -> bool:
    return (
        request.method == "GET"
        and response.status < HTTPStatus.BAD_REQUEST
        and response.content_type == "text/html"
        and not response.prepared
        and not UNTRACKED.match(request.path)
        and not request.get(UNCOUNTED, False)
    )


def _track_page(request: web.Request, response: web.StreamResponse) -> None:
    app, ledger = request.app, request.app[LEDGER]
    ledger.receive()
    try:
        seen = _page_view(request)
    except BaseException as error:
        ledger.refuse(error)
        raise
    if isinstance(seen, DropReason):
        ledger.drop(seen)
        return
    event, identity = seen
    app[WRITER].offer(event)
    if identity.new_cookie is not None:
        cookie = session_cookie(identity, secure=is_https(request, app[PROXIES]))
        response.headers.add("Set-Cookie", cookie)


def _page_view(request: web.Request) -> tuple[Event, Identity] | DropReason:
    """Return the view of the page that was asked for and whose it is, or why it does not count."""
    app, client = request.app, client_of(request, request.app[PROXIES])
    if client.opted_out:
        return DropReason.OPT_OUT
    if client.facts.kind is not ClientKind.PERSON:
        return DropReason.BOT
    moment = Moment.of(app[CLOCK](), app[CONFIG].timezone)
    address_key = app[ADDRESSES].get(moment.day)
    if address_key is None:
        return DropReason.UNAVAILABLE
    identity = app[IDENTIFIER].identify(client, address_key, moment)
    own_hosts = app[INTAKE].own_hosts(request.host)
    view = page_view(request.path_qs, app[PARAMETERS], own_hosts, request.headers.get("Referer"))
    return make_event(view, identity.visitor, moment), identity


def _method(request: web.Request) -> str:
    """Return the method, or `other` when the client made it up."""
    return request.method if request.method in _METHODS else "other"


def _http_error(request: web.Request, error: web.HTTPException) -> web.Response:
    """Word what aiohttp itself refuses."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"This address answers {allowed} only."
        return error_response(error.status, message, "method_not_allowed", {"Allow": allowed})
    if error.status == HTTPStatus.NOT_FOUND:
        return error_response(404, "There is nothing at this address.", "not_found")
    log.info("request refused", extra=fields(status=error.status, method=_method(request)))
    phrase = HTTPStatus(error.status).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    return error_response(error.status, f"{phrase}.", code)
