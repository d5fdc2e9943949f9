"""The whole URL map, and what stands around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from maicivy.web import (
    collect,
    exports,
    files,
    insights,
    live,
    me,
    middleware,
    ops,
    reports,
    tracker,
)

if TYPE_CHECKING:
    from maicivy.config import Config

BASE = middleware.ANALYTICS
EVENT = f"{BASE}/event"

MIDDLEWARES = (
    middleware.answer,
    middleware.pages,
)


def routes(config: Config) -> list[web.AbstractRouteDef]:
    """Return every route; `/metrics` moves away when it has a port of its own."""
    listed: list[web.AbstractRouteDef] = [
        web.get(f"{BASE}/realtime", reports.get_realtime),
        web.get(f"{BASE}/stats", reports.get_stats),
        web.get(f"{BASE}/themes", reports.get_themes),
        web.get(f"{BASE}/letters", reports.get_letters),
        web.get(f"{BASE}/timeline", reports.get_timeline),
        web.get(f"{BASE}/heatmap", reports.get_heatmap),
        web.get(f"{BASE}/sessions/summary", insights.get_summary),
        web.get(f"{BASE}/timeseries", insights.get_timeseries),
        web.get(f"{BASE}/pages", insights.get_pages),
        web.get(f"{BASE}/sources", insights.get_sources),
        web.get(f"{BASE}/devices", insights.get_devices),
        web.get(f"{BASE}/events", insights.get_events),
        web.get(f"{BASE}/events/{{name}}/properties", insights.get_properties),
        web.get(f"{BASE}/export/{{what}}", exports.get_export),
        web.get(f"{BASE}/ledger", ops.get_ledger),
        web.post(EVENT, collect.post_event),
        web.post(f"{BASE}/events", collect.post_events),
        web.get(f"{BASE}/me", me.get_me),
        web.delete(f"{BASE}/me", me.delete_me),
        web.get("/ws/analytics", live.websocket, allow_head=False),
        web.get("/health", ops.get_health),
        web.get("/health/deep", ops.get_deep_health),
        web.get("/openapi.json", ops.get_openapi),
        web.get("/docs", ops.get_api_page),
        web.get("/static/{path:.+}", files.get_static),
    ]
    listed.append(web.get(config.tracker_path, tracker.get_tracker))
    if config.collect_path is not None:
        listed.append(web.post(config.collect_path, collect.post_events))
    if config.metrics_port is None:
        listed.append(web.get("/metrics", ops.get_metrics))
    if config.site_dir is None:
        listed.append(web.get("/", ops.get_root))
    return listed
