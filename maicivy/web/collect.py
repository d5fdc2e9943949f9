"""`POST /event`: from the bytes of a request to a durable event, step by step."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from maicivy.errors import (
    BodyTooLarge,
    RequestTimeout,
    Unavailable,
    UnsupportedMediaType,
)
from maicivy.ingest.body import parse_object
from maicivy.ingest.client import ClientKind
from maicivy.ingest.event import check_fields, make_event
from maicivy.ingest.ledger import DropReason
from maicivy.periods import local_day
from maicivy.web.client import check_origin, client_of, set_cookie
from maicivy.web.keys import (
    ADDRESSES,
    BODIES,
    CLOCK,
    CONFIG,
    IDENTIFIER,
    LEDGER,
    PARAMETERS,
    WRITER,
)
from maicivy.web.rate import check_rate

if TYPE_CHECKING:
    from maicivy.ingest.event import Event
    from maicivy.ingest.identity import Identity

MAX_BODY_BYTES = 16 * 1024
BODY_SECONDS = 10.0

_MEDIA_TYPES = frozenset({"", "application/json", "text/plain"})
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})


async def post_event(request: web.Request) -> web.Response:
    """Store one event; 201 once it is durable, 202 when it is not to be tracked."""
    app = request.app
    app[LEDGER].receive()
    with app[LEDGER].refusals():
        checked = await _check(request)
    if isinstance(checked, DropReason):
        return _not_tracked(request, checked)
    event, identity = checked
    is_new = await app[WRITER].store(event)
    response = web.json_response(
        {"success": True, "message": "Event tracked successfully"}, status=201
    )
    if not is_new:
        response.headers["Idempotent-Replayed"] = "true"
    set_cookie(request, response, identity)
    return response


async def _check(request: web.Request) -> tuple[Event, Identity] | DropReason:
    """Return the event that the request tells and whose it is, or why it is not to be tracked."""
    app, client = request.app, client_of(request)
    check_origin(request)
    if client.opted_out:
        return DropReason.OPT_OUT
    now, zone = app[CLOCK](), app[CONFIG].timezone
    today = local_day(now, zone)
    address_key = await app[ADDRESSES].load(today)
    await check_rate(request, client, address_key)
    _check_headers(request)
    body = parse_object(await _read_body(request))
    fields = check_fields(
        body, app[PARAMETERS], _own_hosts(request), request.headers.get("Referer")
    )
    if client.facts.kind is ClientKind.BOT:
        return DropReason.BOT
    identity = app[IDENTIFIER].identify(client, address_key, now, today)
    return make_event(fields, identity.visitor, now, zone), identity


def _not_tracked(request: web.Request, reason: DropReason) -> web.Response:
    request.app[LEDGER].drop(reason)
    return web.json_response(
        {"success": True, "message": "Not tracked", "reason": reason}, status=202
    )


def _check_headers(request: web.Request) -> None:
    codings = request.headers.getall("Content-Encoding", [])
    if any(coding.lower() != "identity" for coding in codings):
        raise UnsupportedMediaType("The body must not be compressed.", code="unsupported_coding")
    media_type = request.content_type if "Content-Type" in request.headers else ""
    if media_type not in _MEDIA_TYPES:
        raise UnsupportedMediaType("Send the event as application/json or text/plain.")
    if (request.charset or "utf-8").lower() not in _CHARSETS:
        raise UnsupportedMediaType("The body must be UTF-8.", code="unsupported_charset")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large()


async def stop_waiting(app: web.Application) -> None:
    """Answer those whose bodies are not whole yet; aiohttp hears no more of them from now on."""
    for limit in app[BODIES]:
        limit.reschedule(asyncio.get_running_loop().time())
    app[BODIES].clear()


async def _read_body(request: web.Request) -> bytes:
    """Return the body, whole within 10 s and within 16 KiB."""
    body, bodies = bytearray(), request.app[BODIES]
    limit = asyncio.timeout(BODY_SECONDS)
    try:
        async with limit:
            bodies.add(limit)
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large()
    except TimeoutError:
        if limit not in bodies:
            raise Unavailable("The server is stopping; try again soon.") from None
        raise RequestTimeout(
            f"The body did not arrive within {BODY_SECONDS:.0f} s.",
            headers={"Connection": "close"},
        ) from None
    finally:
        bodies.discard(limit)
    return bytes(body)


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes.")


def _own_hosts(request: web.Request) -> frozenset[str]:
    allowed = (urlsplit(origin).netloc for origin in request.app[CONFIG].allowed_origins)
    return frozenset({request.host.lower(), *allowed})
