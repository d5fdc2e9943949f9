"""The description of the HTTP API (OpenAPI 3.1), from the same rules that the handlers apply."""

from __future__ import annotations

import functools
from typing import Any

from maicivy import __version__
from maicivy.ingest.event import EVENT_TYPE, LETTER_TYPES, MAX_SESSION_DURATION, MAX_URL_LENGTH
from maicivy.web.schemas import (
    HEALTH,
    HEATMAP,
    LETTERS,
    REALTIME,
    STATS,
    THEMES,
    TIMELINE,
    answer,
    object_of,
)

Json = dict[str, Any]

_BASE = "/api/v1/analytics"
_PERIODS = ["day", "week", "month"]
# A path or a URL that leads to a page: no script, no protocol-relative address, no controls.
_URL = r"^(?:(?:/(?![/\\])|https?://)[^\x00-\x1f\x7f\\]*)?$"
# Text that PostgreSQL can hold.
_TEXT = r"^[^\x00]*$"


@functools.cache
def document() -> Json:
    """Return the whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "maicivy",
            "version": __version__,
            "summary": "Real-time web analytics that never learns who the visitor is.",
            "description": (
                "Every answer is `{success: true, data, meta?}` or `{success: false, error, code}`."
                " The live feed is a WebSocket at `/ws/analytics`."
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "numbers", "description": "What happened, aggregated."},
            {"name": "collect", "description": "Tell what happened."},
            {"name": "operation", "description": "For whoever runs the program."},
        ],
        "paths": _reports() | _collect() | _operation(),
        "components": {"schemas": {"Error": _error_schema()}},
    }


def _reports() -> Json:
    return {
        f"{_BASE}/realtime": _get("Live numbers", answer(REALTIME), []),
        f"{_BASE}/stats": _get("Totals of the open period", answer(STATS), [_period()]),
        f"{_BASE}/themes": _get(
            "Most viewed CV themes", answer(THEMES), [_integer("limit", 5, 1, 20)]
        ),
        f"{_BASE}/letters": _get("Letters of the open period", answer(LETTERS), [_period()]),
        f"{_BASE}/timeline": _get(
            "Latest events, newest first",
            answer(
                TIMELINE,
                {
                    "limit": {"type": "integer"},
                    "offset": {"type": "integer"},
                    "count": {"type": "integer"},
                    "next_cursor": {"type": ["string", "null"]},
                },
            ),
            [
                _integer("limit", 50, 1, 100),
                _integer("offset", 0, 0, 100_000, "Events to skip; not together with `cursor`."),
                _cursor(),
            ],
        ),
        f"{_BASE}/heatmap": _get(
            "Where visitors clicked, most often clicked first",
            answer(
                HEATMAP,
                {
                    "page_url": {"type": "string"},
                    "hours": {"type": "integer"},
                    "count": {"type": "integer"},
                },
            ),
            [_page_url(), _integer("hours", 24, 1, 168)],
        ),
    }


def _get(
    summary: str, schema: Json, parameters: list[Json], errors: set[int] | None = None
) -> Json:
    statuses = errors if errors is not None else {400, 503}
    return {
        "get": {
            "tags": ["numbers"],
            "summary": summary,
            "operationId": "get_" + summary.lower().replace(",", "").replace(" ", "_"),
            "parameters": parameters,
            "responses": {"200": _json("The answer.", schema)} | _errors(statuses),
        }
    }


def _period() -> Json:
    return {
        "name": "period",
        "in": "query",
        "required": True,
        "description": "The open day, ISO week or month in the configured time zone.",
        "schema": {"type": "string", "enum": _PERIODS},
    }


def _integer(name: str, default: int, lowest: int, highest: int, description: str = "") -> Json:
    schema = {"type": "integer", "default": default, "minimum": lowest, "maximum": highest}
    parameter: Json = {"name": name, "in": "query", "schema": schema}
    return parameter | ({"description": description} if description else {})


def _page_url() -> Json:
    return {
        "name": "page_url",
        "in": "query",
        "description": "A path matches any query; a value with a `?` matches exactly.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_URL_LENGTH,
            "pattern": r"^[^\x00-\x1f\x7f]*$",
        },
        "example": "/cv",
    }


def _cursor() -> Json:
    return {
        "name": "cursor",
        "in": "query",
        "description": "The `meta.next_cursor` of an earlier answer: a page that does not shift.",
        # 24 bytes in base64: a time before the year 10000, then an id
        "schema": {"type": "string", "pattern": r"^AA[A-D][A-Za-z0-9_-]{29}$"},
    }


def _collect() -> Json:
    tracked = object_of(success={"const": True}, message={"const": "Event tracked successfully"})
    not_tracked = object_of(
        success={"const": True},
        message={"const": "Not tracked"},
        reason={"enum": ["opt_out", "bot"]},
    )
    stored = _json("The event is durable and counted.", tracked)
    stored["headers"] = _rate_headers() | {
        "Set-Cookie": {"description": "The session of a new visitor.", "schema": {"type": "string"}}
    }
    return {
        f"{_BASE}/event": {
            "post": {
                "tags": ["collect"],
                "summary": "Track an event",
                "description": (
                    "Answers once the event is durable: a GET right after it sees it. Visitors "
                    "who opt out (`DNT: 1`, `Sec-GPC: 1`) and bots are not tracked (202)."
                ),
                "operationId": "post_event",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": _event_schema()}},
                },
                "responses": {
                    "201": stored,
                    "202": _json("The event was not to be tracked.", not_tracked),
                }
                | _errors({400, 403, 408, 413, 415, 429, 503}),
            }
        }
    }


def _event_schema() -> Json:
    url = {"type": ["string", "null"], "maxLength": MAX_URL_LENGTH, "pattern": _URL}
    letter = {"enum": list(LETTER_TYPES)}
    return {
        "type": "object",
        "required": ["event_type"],
        "properties": {
            "event_type": {"type": "string", "pattern": f"^{EVENT_TYPE}$"},
            "event_data": {
                "type": ["object", "null"],
                "maxProperties": 50,
                "propertyNames": {"pattern": _TEXT},
                "additionalProperties": {
                    "type": ["string", "number", "boolean", "null", "object", "array"],
                },
            },
            "page_url": url,
            "referrer": url,
            "session_duration": {
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": MAX_SESSION_DURATION,
            },
        },
        "if": {
            "properties": {"event_type": {"enum": ["letter_generate", "letter_generated"]}},
            "required": ["event_type"],
        },
        "then": {
            "required": ["event_data"],
            "properties": {
                "event_data": {
                    "type": "object",
                    "anyOf": [
                        {"required": ["letter_type"], "properties": {"letter_type": letter}},
                        {
                            "required": ["type"],
                            "not": {"required": ["letter_type"]},
                            "properties": {"type": letter},
                        },
                    ],
                }
            },
        },
        "examples": [
            {
                "event_type": "button_click",
                "event_data": {"button": "cta", "x": 450, "y": 200},
                "page_url": "/cv",
            }
        ],
    }


def _operation() -> Json:
    text = {"description": "Prometheus text.", "content": {"text/plain": {"schema": _STRING}}}
    return {
        "/health": _operate("The process is alive", {"200": _json("Alive.", HEALTH)}),
        "/health/deep": _operate(
            "PostgreSQL, Redis and background tasks work",
            {"200": _json("All is well.", HEALTH), "503": _json("Something is down.", HEALTH)},
        ),
        "/metrics": _operate("Metrics for Prometheus", {"200": text}),
    }


_STRING: Json = {"type": "string"}


def _operate(summary: str, responses: Json) -> Json:
    operation = summary.lower().replace(",", "").replace(" ", "_")
    get = {"tags": ["operation"], "summary": summary, "operationId": operation}
    return {"get": get | {"responses": responses}}


_MEANINGS = {
    400: "A parameter or the body is wrong; the error names it.",
    403: "A page of this origin may not do this.",
    408: "The body did not arrive within 10 s.",
    413: "The body is larger than 16 KiB.",
    415: "The content type, charset or content coding is not understood.",
    429: "Too many events from this client in the last minute.",
    503: "The database is gone or the queue is full.",
}


def _errors(statuses: set[int]) -> Json:
    schema = {"$ref": "#/components/schemas/Error"}
    responses = {str(status): _json(_MEANINGS[status], schema) for status in sorted(statuses)}
    retry = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    for status in statuses & {429, 503}:
        responses[str(status)]["headers"] = retry | (_rate_headers() if status == 429 else {})
    return responses


def _rate_headers() -> Json:
    text = {"RateLimit": "What is left.", "RateLimit-Policy": "The limit and its window."}
    count = {
        "X-RateLimit-Limit": "Events a minute.",
        "X-RateLimit-Remaining": "Events left.",
        "X-RateLimit-Reset": "Seconds until a place is free.",
    }
    headers = {name: {"description": d, "schema": {"type": "string"}} for name, d in text.items()}
    return headers | {
        name: {"description": d, "schema": {"type": "integer"}} for name, d in count.items()
    }


def _error_schema() -> Json:
    return object_of(
        success={"const": False},
        error={"type": "string", "description": "One sentence for a person."},
        code={"type": "string", "pattern": "^[a-z0-9_]+$", "description": "Stable."},
    )


def _json(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
