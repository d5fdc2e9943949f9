"""What operators and developers ask: health, metrics, the API's description."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from maicivy.errors import StorageUnavailable
from maicivy.reports.answers import answer_of
from maicivy.web.files import OWN_POLICY, STATIC_FOLDER, file_response
from maicivy.web.keys import CONFIG, LEDGER, METRICS, OPENED, POSTGRES, REALTIME, SUPERVISOR, WRITER
from maicivy.web.openapi import document
from maicivy.web.reports import unkept

if TYPE_CHECKING:
    from collections.abc import Awaitable

DEEP_CHECK_SECONDS = 1.5


async def get_health(_: web.Request) -> web.Response:
    """Answer `GET /health`: the process is alive."""
    return web.json_response(
        {"status": "ok", "services": {"api": "up"}}, headers={"Cache-Control": "no-store"}
    )


async def get_deep_health(request: web.Request) -> web.Response:
    """Answer `GET /health/deep`: 200 when everything works, else 503, within 2 s."""
    app = request.app
    postgres, redis = await asyncio.gather(
        _answers(app[POSTGRES].fetch("ping")), _answers(app[REALTIME].ping())
    )
    services = {"api": True, "postgres": postgres and app[WRITER].available, "redis": redis}
    if app[SUPERVISOR].unsteady():
        services["background"] = False
    healthy = all(services.values())
    body = {
        "status": "ok" if healthy else "degraded",
        "services": {name: "up" if up else "down" for name, up in services.items()},
    }
    return web.json_response(
        body, status=200 if healthy else 503, headers={"Cache-Control": "no-store"}
    )


async def _answers(question: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(DEEP_CHECK_SECONDS):
            await question
    except (StorageUnavailable, TimeoutError):
        return False
    return True


async def get_ledger(request: web.Request) -> web.Response:
    """Answer `GET /ledger`: what came in since the start, and what became of it."""
    return unkept(answer_of(request.app[LEDGER].summary()))


async def get_metrics(request: web.Request) -> web.Response:
    """Answer `GET /metrics` from memory alone."""
    body, content_type = request.app[METRICS].exposition()
    return web.Response(body=body, headers={"Content-Type": content_type})


async def get_openapi(request: web.Request) -> web.Response:
    """Answer `GET /openapi.json`, which describes what this port answers."""
    config = request.app[CONFIG]
    described = document(
        metrics=config.metrics_port is None,
        root=config.site_dir is None,
        protected=_protected(request.app),
        tracker=config.tracker_path,
        collect_path=config.collect_path,
    )
    return web.json_response(described, headers={"Access-Control-Allow-Origin": "*"})


def _protected(app: web.Application) -> frozenset[tuple[str, str]]:
    """Return path and method of each operation that is behind the password, if there is one."""
    if app[CONFIG].dashboard_password is None:
        return frozenset()
    return frozenset(
        (route.resource.canonical, route.method.lower())
        for route in app.router.routes()
        if route.resource is not None
        and route.handler not in app[OPENED]
        and route.method != "HEAD"
        and not route.resource.canonical.startswith("/ws/")
    )


async def get_api_page(_: web.Request) -> web.StreamResponse:
    """Answer `GET /docs`, which is drawn from `/openapi.json`."""
    return file_response(STATIC_FOLDER / "docs.html", OWN_POLICY)


async def get_root(_: web.Request) -> web.Response:
    """Lead to the dashboard where no site is served."""
    return web.Response(status=302, headers={"Location": "/dashboard"})
