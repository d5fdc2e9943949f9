"""`/me`: what is held of whoever sent the cookie, shown to them and removed for them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from aiohttp import web

from maicivy.ingest.visitor import COOKIE_SECONDS, limiter_id
from maicivy.periods import format_instant, local_day
from maicivy.reports import visitor
from maicivy.reports.timeline import Cursor
from maicivy.storage.forgetting import Forgotten
from maicivy.web import params
from maicivy.web.client import check_origin, client_of, end_cookie, is_https
from maicivy.web.keys import (
    ADDRESSES,
    CLOCK,
    CONFIG,
    EXTRA_HEADERS,
    KEYRING,
    LIMITER,
    PROXIES,
    SOURCE,
    STORES,
)
from maicivy.web.rate import check_rate

if TYPE_CHECKING:
    from maicivy.ingest.visitor import Token

PRIVATE = "no-store, private"


async def get_me(request: web.Request) -> web.Response:
    """Answer `GET /me`: nothing is tracked by it, and who is not known gets no cookie."""
    token = await _admit(request)
    limit = params.integer(request, "limit", 50, 1, 100)
    text = params.single(request, "cursor")
    cursor = Cursor.parse(text) if text is not None else None
    held = visitor.NOTHING
    if token is not None:
        visitor_id = request.app[KEYRING].visitor_id(token)
        held = await visitor.holdings(request.app[SOURCE], visitor_id, limit=limit, cursor=cursor)
    data = {
        "visitor": held.visitor,
        "active": held.active,
        "cookie_expires_at": _expiry(token) if token else None,
        "events": held.events,
    }
    meta = {"limit": limit, "count": len(held.events), "next_cursor": held.next_cursor}
    return _answer({"data": data, "meta": meta})


async def delete_me(request: web.Request) -> web.Response:
    """Answer `DELETE /me`: nothing is held any more, and the cookie is over."""
    check_origin(request, request.app[CONFIG].allowed_origins)
    token = await _admit(request)
    forgotten = Forgotten()
    if token is not None:
        visitor_id = request.app[KEYRING].visitor_id(token)
        forgotten = await request.app[STORES].forgetting.forget(visitor_id)
    response = _answer({"data": {"visitor": forgotten.visitor, "events": forgotten.events}})
    response.headers.add("Set-Cookie", end_cookie(secure=is_https(request, request.app[PROXIES])))
    return response


async def _admit(request: web.Request) -> Token | None:
    """Take a place in the rate limit; return the token of a good cookie, which says it all."""
    app, client, now = request.app, client_of(request, request.app[PROXIES]), request.app[CLOCK]()
    limiter = app[LIMITER]
    address_key = await app[ADDRESSES].load(local_day(now, app[CONFIG].timezone))
    told = request.setdefault(EXTRA_HEADERS, {})
    await check_rate(told, limiter, limiter_id(address_key, client.address))
    return app[KEYRING].read_cookie(client.cookie, now)


def _expiry(token: Token) -> str:
    seconds = token.issued_at + COOKIE_SECONDS
    return format_instant(dt.datetime.fromtimestamp(seconds, dt.UTC))


def _answer(body: dict[str, Any]) -> web.Response:
    return web.json_response({"success": True, **body}, headers={"Cache-Control": PRIVATE})
