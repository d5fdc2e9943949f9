"""The six questions of the contract."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aiohttp import web

from maicivy.errors import InvalidRequest
from maicivy.ingest.event import stored_url
from maicivy.reports import heatmap, timeline
from maicivy.reports.answers import answer_of, named
from maicivy.reports.heatmap import Widths
from maicivy.web import insights, params
from maicivy.web.keys import ANSWERS, KEYRING, PARAMETERS, SOURCE
from maicivy.web.ready import JSON, report

if TYPE_CHECKING:
    from maicivy.reports.answers import Answer


# Rows of single visitors are kept nowhere: they can have them removed.
NEVER_KEPT = "no-store"
MAX_WIDTH = 100_000


def unkept(answer: Answer) -> web.Response:
    """Return an answer that is kept nowhere."""
    headers = {"Cache-Control": NEVER_KEPT, "Content-Type": JSON}
    return web.Response(body=answer.body, headers=headers)


async def get_realtime(request: web.Request) -> web.StreamResponse:
    """Answer `GET /realtime`."""
    return report(request, await request.app[ANSWERS].realtime())


async def get_stats(request: web.Request) -> web.StreamResponse:
    """Answer `GET /stats`."""
    return report(request, await request.app[ANSWERS].by_period(params.period(request)))


async def get_themes(request: web.Request) -> web.StreamResponse:
    """Answer `GET /themes`: of all time, or of a span of time when one is named."""
    if request.query.keys() & insights.SPAN_PARAMETERS:
        return await insights.get_themes(request)
    limit = params.integer(request, "limit", 5, 1, 20)
    return report(request, await request.app[ANSWERS].themes(limit))


async def get_letters(request: web.Request) -> web.StreamResponse:
    """Answer `GET /letters`."""
    return report(request, await request.app[ANSWERS].letters(params.period(request)))


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
    return unkept(answer_of(page.events, meta))


async def get_heatmap(request: web.Request) -> web.StreamResponse:
    """Answer `GET /heatmap`; what is asked for is looked for as it is stored."""
    asked = params.text(request, "page_url") or ""
    hours = params.integer(request, "hours", 24, 1, 168)
    page_url = stored_url(asked, request.app[PARAMETERS])
    exact, path = (page_url, None) if "?" in asked or "#" in asked else (None, page_url or None)
    widths = Widths(_width(request, "min_width"), _width(request, "max_width"))
    points = await heatmap.points(request.app[SOURCE], exact, path, hours, widths)
    meta = json.dumps({"page_url": page_url, "hours": hours, "count": points.count})
    body = f'{{"success": true, "data": {points.json}, "meta": {meta}}}'
    return report(request, named(None, body.encode()))


def _width(request: web.Request, name: str) -> int | None:
    given = params.integer(request, name, -1, 0, MAX_WIDTH)
    return None if given < 0 else given
