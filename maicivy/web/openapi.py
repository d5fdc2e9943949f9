"""The description of the HTTP API (OpenAPI 3.1), from the same rules that the handlers apply."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from maicivy import __version__
from maicivy.web import schemas, schemas_events, schemas_insights
from maicivy.web.middleware import ANALYTICS
from maicivy.web.openapi_access import SCHEMES, Operations, access, login, protect
from maicivy.web.openapi_collect import collect, script
from maicivy.web.openapi_insights import insights, spans
from maicivy.web.openapi_me import me
from maicivy.web.openapi_parts import (
    HEADERS,
    LIVE_FEED,
    REVALIDATION,
    UNCHANGED,
    answered,
    errors,
    json_answer,
    query,
)

if TYPE_CHECKING:
    from maicivy.web.schemas import Json

_DESCRIPTION = """\
Every JSON answer of the analytics API is `{"success": true, "data": …}`, with `meta` where there \
is something to say about the data, or \
`{"success": false, "error": "one sentence", "code": "stable_name"}`.

**Errors.** Parameters are checked and never silently replaced: what is missing, given twice or \
out of range is answered 400, and the sentence names it. An unknown address is 404 `not_found`; \
another method than those described is 405 `method_not_allowed` with `Allow`. `HEAD` is answered \
wherever `GET` is. 503 says in `Retry-After` when to come back.

**Asking again.** Reports that have an `ETag` may be kept and asked for again with \
`If-None-Match`: 304 says that nothing has changed.

**Origins.** Pages of the origins that the operator allows may read every answer, with \
credentials; their preflights (`OPTIONS`) are answered 204.

**Password.** Where the operator has set one, numbers and the live feed are answered 401 \
`login_required` to who is neither logged in nor has a share link or a token; those of this \
document's operations that ask for it say so. Sending events is open to all.

**Live feed.** `ws://…/ws/analytics` is a WebSocket: see `x-websockets` in this document. A plain \
`GET` of it is answered 426 `upgrade_required`, a page of another origin 403, and 503 \
`too_many_connections` when every place is taken.
"""


@functools.cache
def document(
    *,
    metrics: bool = True,
    root: bool = True,
    tracker: str = "/maicivy.js",
    collect_path: str | None = None,
    protected: Operations = frozenset(),
) -> Json:
    """Return the whole description.

    `metrics` says whether `/metrics` is on this port, `root` whether `/` is the program's own;
    `tracker` is the tracker's address, `collect_path` another one of `/events`; `protected` are the
    operations (path and method) behind the password, if there is one.
    """
    paths: Json = {}
    for part in (
        _reports(),
        insights(),
        collect(collect_path),
        me(),
        access(),
        _operation(),
        _pages(),
        script(tracker),
    ):
        for path, described in part.items():
            paths[path] = paths.get(path, {}) | described
    components = {"schemas": _components(), "headers": HEADERS}
    if protected:
        paths |= login()
        protect(paths, protected)
        components["securitySchemes"] = SCHEMES
    if not metrics:
        del paths["/metrics"]
    if not root:
        del paths["/"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "maicivy",
            "version": __version__,
            "summary": "Real-time web analytics that never learns who the visitor is.",
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "numbers", "description": "What happened, aggregated."},
            {"name": "collect", "description": "Tell what happened."},
            {"name": "visitor", "description": "What is held of whoever asks."},
            {"name": "access", "description": "Who may read, where there is a password."},
            {"name": "images", "description": "For other people's pages."},
            {"name": "operation", "description": "For whoever runs the program."},
            {"name": "pages", "description": "This description, and the program's own pages."},
        ],
        "paths": paths,
        "components": components,
        "x-websockets": {"/ws/analytics": LIVE_FEED},
    }


def _components() -> Json:
    return {"Event": schemas_events.event(), "Error": schemas.ERROR} | schemas_events.json_values()


def _reports() -> Json:
    reports = {
        "realtime": _report("realtime", "Live numbers", schemas.REALTIME),
        "stats": _report("stats", "Totals of the open period", schemas.STATS, [_period()]),
        "themes": _themes(),
        "letters": _report("letters", "Letters of the open period", schemas.LETTERS, [_period()]),
        "timeline": _timeline(),
        "heatmap": _heatmap(),
    }
    return {f"{ANALYTICS}/{name}": report for name, report in reports.items()}


def _report(
    name: str,
    summary: str,
    data: Json,
    parameters: list[Json] | None = None,
    meta: Json | None = None,
    *,
    large: bool = False,
    kept: bool = True,
) -> Json:
    """Describe a report; `kept` says that it may be kept, and asked for again by its `ETag`."""
    codes = {503: ["unavailable", *(["busy"] if large else [])]}
    if parameters:
        codes[400] = ["invalid_parameter"]
        if any(one.get("required") for one in parameters):
            codes[400].append("missing_parameter")
    found: Json = {"200": json_answer("The answer.", schemas.answer(data, meta), ["Cache-Control"])}
    if kept:
        found["200"]["headers"] |= REVALIDATION
        found["304"] = UNCHANGED
    operation: Json = {"tags": ["numbers"], "summary": summary, "operationId": f"get_{name}"}
    if parameters:
        operation["parameters"] = parameters
    return {"get": operation | {"responses": found | errors(codes)}}


def _themes() -> Json:
    report = _report(
        "themes",
        "Most viewed CV themes, of all time or of a span of time",
        schemas.THEMES,
        [query("limit", schemas.THEMES_LIMIT, "How many."), *spans()],
        large=True,
    )
    responses = report["get"]["responses"]
    responses |= errors({400: ["invalid_parameter", "missing_parameter"]})
    content = responses["200"]["content"]
    content["application/json"]["schema"]["properties"]["meta"] = schemas_insights.LIST_META
    content["text/csv"] = {"schema": schemas.STRING}
    return report


def _timeline() -> Json:
    report = _report(
        "timeline",
        "Latest events, newest first",
        schemas.TIMELINE,
        [query("limit", schemas.LIMIT, "How many."), _place()],
        schemas.TIMELINE_META,
        large=True,
        kept=False,
    )
    report["get"]["responses"]["200"]["links"] = {
        "NextPage": {
            "operationId": "get_timeline",
            "parameters": {"query.place": {"cursor": "$response.body#/meta/next_cursor"}},
            "description": "The next older events, while `next_cursor` is not null.",
        }
    }
    return report


def _heatmap() -> Json:
    page_url = query(
        "page_url",
        schemas.PAGE_URL,
        "A path matches any query; with a `?` or a `#` it matches exactly. Like the URL of a page "
        "that is stored, it loses the parameters that the operator does not keep.",
    )
    return _report(
        "heatmap",
        "Where visitors clicked, most often clicked first",
        schemas.HEATMAP,
        [
            page_url | {"example": "/cv"},
            query("hours", schemas.HOURS, "How far to look back."),
            query("min_width", schemas.WIDTH, "Of viewports so many CSS pixels wide at least."),
            query("max_width", schemas.WIDTH, "Of viewports so many CSS pixels wide at most."),
        ],
        schemas.HEATMAP_META,
        large=True,
    )


def _period() -> Json:
    text = "The open day, ISO week or month in the configured time zone."
    return query("period", schemas.PERIOD, text) | {"required": True}


def _place() -> Json:
    """Describe `offset` and `cursor`, of which a request has one at most."""
    cursor: Json = {
        "type": "string",
        "pattern": schemas.CURSOR,
        "description": "The `meta.next_cursor` of an earlier answer: pages that do not shift.",
    }
    offset = schemas.OFFSET | {"description": "How many to skip."}
    return query(
        "place",
        {
            "type": "object",
            "properties": {"offset": offset, "cursor": cursor},
            "not": {
                "required": ["offset", "cursor"],
                "properties": {"offset": {"not": {"const": 0}}},
            },
        },
        "Where to begin: `?offset=50` or `?cursor=…`, not both.",
    ) | {"style": "form", "explode": True}


def _operation() -> Json:
    well, ill = schemas.deep_health("ok"), schemas.deep_health("degraded")
    exposition = answered("Prometheus text.", {"text/plain": {"schema": schemas.STRING}})
    return {
        "/health": _get(
            "operation",
            "get_health",
            "The process is alive",
            {"200": json_answer("Alive.", schemas.HEALTH, ["Cache-Control"])},
        ),
        "/health/deep": _get(
            "operation",
            "get_deep_health",
            "PostgreSQL, Redis and background tasks work",
            {
                "200": json_answer("All is well.", well, ["Cache-Control"]),
                "503": json_answer("Something is down.", ill, ["Cache-Control"]),
            },
        ),
        f"{ANALYTICS}/ledger": _get(
            "operation",
            "get_ledger",
            "What came in since the start, and what became of it",
            {"200": json_answer("The sums.", schemas.answer(schemas.LEDGER), ["Cache-Control"])},
        ),
        "/metrics": _get("operation", "get_metrics", "Metrics for Prometheus", {"200": exposition}),
    }


# What a request with `If-Match`, `If-None-Match`, `Range` and the like may get for a file.
_FILE = {
    "206": answered("The part that was asked for.", {"*/*": {}}),
    "304": answered("It has not changed."),
    "412": answered("It has changed."),
    "416": answered("It has no such part."),
}


def _pages() -> Json:
    page = {"text/html": {"schema": schemas.STRING}}
    described = json_answer("The description.", {"type": "object"}, ["Access-Control-Allow-Origin"])
    lead = answered("To the dashboard, where no site is served.", headers=["Location"])
    static = _get(
        "pages",
        "get_static",
        "A file of the program's own pages",
        {"200": answered("The file.", {"*/*": {}})} | _FILE | errors({404: ["not_found"]}),
    )
    static["get"]["parameters"] = [
        {
            "name": "path",
            "in": "path",
            "required": True,
            "description": "Where the file is; it may have slashes.",
            "schema": {"type": "string", "minLength": 1},
            "example": "docs.css",
        }
    ]
    return {
        "/openapi.json": _get("pages", "get_openapi", "This document", {"200": described}),
        "/docs": _get(
            "pages",
            "get_docs",
            "The API for people",
            {"200": answered("The page.", page, ["Set-Cookie"])} | _FILE,
        ),
        "/dashboard": _get(
            "pages", "get_dashboard", "The numbers for people", {"200": answered("The page.", page)}
        ),
        "/static/{path}": static,
        "/": _get("pages", "get_root", "Where to begin", {"302": lead}),
    }


def _get(tag: str, name: str, summary: str, responses: Json) -> Json:
    return {"get": {"tags": [tag], "summary": summary, "operationId": name, "responses": responses}}
