"""The six questions of the contract."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from maicivy.background.hub import snapshot_fields
from maicivy.errors import InvalidRequest
from maicivy.ingest.event import stored_url
from maicivy.reports import heatmap, stats, timeline
from maicivy.web import params
from maicivy.web.keys import HUB, KEYRING, PARAMETERS, SOURCE


def answer(data: Any, meta: dict[str, Any] | None = None) -> web.Response:
    """Return `data` as a successful answer."""
    body = {"success": True, "data": data}
    if meta is not None:
        body["meta"] = meta
    return web.json_response(body, headers={"Cache-Control": "no-store"})


async def get_realtime(request: web.Request) -> web.Response:
    """Answer `GET /realtime`."""
    snapshot = await stats.realtime(request.app[SOURCE])
    request.app[HUB].observe(snapshot)
    return answer(snapshot_fields(snapshot))


async def get_stats(request: web.Request) -> web.Response:
    """Answer `GET /stats`."""
    return answer(await stats.by_period(request.app[SOURCE], params.period(request)))


async def get_themes(request: web.Request) -> web.Response:
    """Answer `GET /themes`."""
    limit = params.integer(request, "limit", 5, 1, 20)
    return answer(await stats.themes(request.app[SOURCE], limit))


async def get_letters(request: web.Request) -> web.Response:
    """Answer `GET /letters`."""
    return answer(await stats.letters(request.app[SOURCE], params.period(request)))


async def get_timeline(request: web.Request) -> web.Response:
    """Answer `GET /timeline`."""
    limit = params.integer(request, "limit", 50, 1, 100)
    offset = params.integer(request, "offset", 0, 0, 100_000)
    text = params.single(request, "cursor")
    if text is not None and offset:
        raise InvalidRequest(
            "The parameter offset cannot be used with cursor.", code="invalid_parameter"
        )
    cursor = timeline.Cursor.parse(text) if text is not None else None
    page = await timeline.page(
        request.app[SOURCE],
        request.app[KEYRING].public_id,
        limit=limit,
        offset=offset,
        cursor=cursor,
    )
    meta = {
        "limit": limit,
        "offset": offset,
        "count": len(page.events),
        "next_cursor": page.next_cursor,
    }
    return answer(page.events, meta)


async def get_heatmap(request: web.Request) -> web.Response:
    """Answer `GET /heatmap`; what is asked for is looked for as it is stored."""
    asked = params.text(request, "page_url") or ""
    hours = params.integer(request, "hours", 24, 1, 168)
    page_url = stored_url(asked, request.app[PARAMETERS])
    exact, path = (page_url, None) if "?" in asked or "#" in asked else (None, page_url or None)
    points = await heatmap.points(request.app[SOURCE], exact, path, hours)
    meta = json.dumps({"page_url": page_url, "hours": hours, "count": points.count})
    body = f'{{"success": true, "data": {points.json}, "meta": {meta}}}'
    headers = {"Cache-Control": "no-store"}
    return web.Response(text=body, content_type="application/json", headers=headers)
