"""The whole URL map, what of it is open to everybody, and what stands around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from maicivy.web import (
    access,
    badge,
    chart,
    collect,
    dashboard,
    exports,
    files,
    insights,
    live,
    login,
    me,
    middleware,
    ops,
    reports,
    shares,
    tracker,
)

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from maicivy.config import Config

BASE = middleware.ANALYTICS
EVENT = f"{BASE}/event"

MIDDLEWARES = (
    middleware.answer,
    access.protect,
    middleware.pages,
)

# What a password does not close: collecting, what visitors may do with their own data, what says
# the same of every installation, and the way in. Everything else asks for a login.
OPEN: frozenset[Handler] = frozenset(
    {
        collect.post_event,
        collect.post_events,
        me.get_me,
        me.delete_me,
        ops.get_health,
        ops.get_deep_health,
        ops.get_openapi,
        ops.get_api_page,
        ops.get_root,
        files.get_static,
        login.get_login,
        login.post_login,
        login.post_logout,
        login.get_share,
        tracker.get_tracker,
    }
)
IMAGES: frozenset[Handler] = frozenset({badge.get_badge, chart.get_chart})


def opened(config: Config) -> frozenset[Handler]:
    """Return the handlers that answer everybody, whether or not there is a password."""
    return OPEN | IMAGES if config.public_badge else OPEN


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
        web.get(f"{BASE}/reader", shares.get_reader),
        web.get(f"{BASE}/shares", shares.get_shares),
        web.post(f"{BASE}/shares", shares.post_shares),
        web.delete(f"{BASE}/shares/{{id}}", shares.delete_share),
        web.get("/share/{secret:mcs_[A-Za-z0-9_-]+}", login.get_share),
        web.get("/badge/{metric:visitors|events|letters}.svg", badge.get_badge),
        web.get("/embed/chart.svg", chart.get_chart),
        web.get("/ws/analytics", live.websocket, allow_head=False),
        web.get("/health", ops.get_health),
        web.get("/health/deep", ops.get_deep_health),
        web.get("/openapi.json", ops.get_openapi),
        web.get("/docs", ops.get_api_page),
        web.get("/dashboard", dashboard.get_dashboard),
        web.get("/static/{path:.+}", files.get_static),
    ]
    if config.dashboard_password is not None:
        # else a page of the site may have these addresses
        listed += [
            web.get(access.LOGIN, login.get_login),
            web.post(access.LOGIN, login.post_login),
            web.post(access.LOGOUT, login.post_logout),
        ]
    listed.append(web.get(config.tracker_path, tracker.get_tracker))
    if config.collect_path is not None:
        listed.append(web.post(config.collect_path, collect.post_events))
    if config.metrics_port is None:
        listed.append(web.get("/metrics", ops.get_metrics))
    if config.site_dir is None:
        listed.append(web.get("/", ops.get_root))
    return listed
