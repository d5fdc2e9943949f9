"""The shapes of what is asked and answered, as JSON Schema (draft 2020-12)."""

from __future__ import annotations

from typing import Any

from maicivy.ingest.event import (
    EVENT_TYPE,
    MAX_URL_LENGTH,
    THEME,
)
from maicivy.ingest.ledger import DropReason
from maicivy.periods import Period
from maicivy.web.params import MAX_TEXT_LENGTH, TEXT

Json = dict[str, Any]

MAX_POINTS = 10_000
# 24 bytes in base64: microseconds since 1970, before the year 9962, then an id.
CURSOR = r"^A[A-Za-z0-3][A-Za-z0-9_-]{30}$"
# Text that PostgreSQL can hold.
STORABLE = r"^[^\x00]*$"

COUNT: Json = {"type": "integer", "minimum": 0}
STRING: Json = {"type": "string"}
PERIOD: Json = {"type": "string", "enum": [period.value for period in Period]}
PAGE_URL: Json = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_LENGTH, "pattern": TEXT}
LIMIT: Json = {"type": "integer", "default": 50, "minimum": 1, "maximum": 100}
OFFSET: Json = {"type": "integer", "default": 0, "minimum": 0, "maximum": 100_000}
HOURS: Json = {"type": "integer", "default": 24, "minimum": 1, "maximum": 168}
WIDTH: Json = {"type": "integer", "minimum": 0, "maximum": 100_000}
THEMES_LIMIT: Json = {"type": "integer", "default": 5, "minimum": 1, "maximum": 20}

_UUID: Json = {"type": "string", "format": "uuid"}
_RATE: Json = {"type": "number", "minimum": 0, "description": "Letters per unique visitor."}


def ref(name: str, kind: str = "schemas") -> Json:
    """Return a reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def object_of(**properties: Json) -> Json:
    """Return the schema of an object that has exactly these properties."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def list_of(items: Json, **limits: int) -> Json:
    """Return the schema of a list."""
    return {"type": "array", "items": items} | limits


def answer(data: Json, meta: Json | None = None) -> Json:
    """Return the schema of a successful answer; only with `meta` it says something about it."""
    properties: Json = {"success": {"const": True}, "data": data}
    if meta is not None:
        properties["meta"] = meta
    return object_of(**properties)


def error_of(*codes: str) -> Json:
    """Return the schema of an answer that says what went wrong, with one of `codes`."""
    return {"allOf": [ref("Error")], "properties": {"code": {"enum": list(codes)}}}


ERROR = object_of(
    success={"const": False},
    error={"type": "string", "minLength": 1, "description": "One sentence for a person."},
    code={"type": "string", "pattern": "^[a-z0-9_]+$", "description": "Stable, for programs."},
)
REALTIME = object_of(
    current_visitors=COUNT | {"description": "Active in the last 5 minutes."},
    unique_today=COUNT,
    total_events=COUNT | {"description": "Today's."},
    letters_today=COUNT,
    timestamp=COUNT | {"description": "Unix time in seconds."},
)
STATS = object_of(
    period=PERIOD,
    period_key={
        "type": "string",
        "pattern": "^[0-9]{4}-(?:[0-9]{2}(?:-[0-9]{2})?|W[0-9]{2})$",
        "examples": ["2025-12-08", "2025-W50", "2025-12"],
    },
    total_events=COUNT,
    letters_generated=COUNT,
    unique_visitors=COUNT,
    conversion_rate=_RATE,
)
_THEME = object_of(theme={"type": "string", "pattern": f"^(?:{THEME}|\\(other\\))$"}, views=COUNT)
_OF_A_SPAN: Json = {"visitors": COUNT, "previous": {"type": "object"}}
THEMES = list_of(
    _THEME | {"properties": _THEME["properties"] | _OF_A_SPAN}, maxItems=THEMES_LIMIT["maximum"]
)
LETTERS = object_of(
    period=PERIOD,
    total=COUNT,
    motivation=COUNT,
    anti_motivation=COUNT,
    unique_visitors=COUNT,
    conversion_rate=_RATE,
    history=list_of(
        object_of(date={"type": "string", "format": "date"}, count=COUNT), minItems=1, maxItems=31
    ),
)
_EVENT_TYPE: Json = {"type": "string", "pattern": f"^{EVENT_TYPE}$"}
_EVENT_DATA: Json = {
    "type": "string",
    "contentMediaType": "application/json",
    "description": "A JSON object, as text.",
    "examples": ['{"path": "/cv"}'],
}
_URL: Json = {"type": "string", "maxLength": MAX_URL_LENGTH}
_INSTANT: Json = {"type": "string", "format": "date-time", "pattern": "Z$"}
_NEXT_CURSOR: Json = {
    "type": ["string", "null"],
    "pattern": CURSOR,
    "description": "Where the next older events begin; null at the end.",
}
TIMELINE = list_of(
    object_of(
        id=_UUID,
        visitor_id=_UUID | {"description": "A pseudonym that changes every day."},
        event_type=_EVENT_TYPE,
        event_data=_EVENT_DATA,
        page_url=_URL,
        created_at=_INSTANT,
    ),
    maxItems=LIMIT["maximum"],
)
TIMELINE_META = object_of(limit=LIMIT, offset=OFFSET, count=COUNT, next_cursor=_NEXT_CURSOR)
_VISITOR = object_of(
    id=_UUID | {"description": "Derived from the cookie; it is published nowhere else."},
    ip_hash={
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": "A hash of the address last used, with a key that lives for a day.",
    },
    browser=STRING,
    os=STRING,
    device=STRING,
    language=STRING,
    profile_detected=STRING,
    visit_count=COUNT | {"minimum": 1},
    first_visit=_INSTANT,
    last_visit=_INSTANT,
)
ME = object_of(
    visitor={
        "description": "Null when nothing is held, or when the cookie is none of ours.",
        "oneOf": [_VISITOR, {"type": "null"}],
    },
    active={"type": "boolean", "description": "Was here in the last 5 minutes."},
    cookie_expires_at=_INSTANT | {"type": ["string", "null"]},
    events=list_of(
        object_of(
            id=_UUID,
            event_type=_EVENT_TYPE,
            event_data=_EVENT_DATA,
            page_url=_URL,
            referrer=_URL,
            session_duration=COUNT | {"description": "In seconds."},
            created_at=_INSTANT,
        ),
        maxItems=LIMIT["maximum"],
    ),
)
ME_META = object_of(limit=LIMIT, count=COUNT, next_cursor=_NEXT_CURSOR)
FORGOTTEN = object_of(
    visitor={"type": "boolean", "description": "Whether the visitor was known."},
    events=COUNT | {"description": "How many were removed."},
)
HEATMAP = list_of(
    object_of(x={"type": "integer"}, y={"type": "integer"}, count=COUNT | {"minimum": 1}),
    maxItems=MAX_POINTS,
)
HEATMAP_META = object_of(
    page_url={"type": "string", "description": "As it is stored; empty for all pages."},
    hours=HOURS,
    count=COUNT,
)
TRACKED = object_of(success={"const": True}, message={"const": "Event tracked successfully"})
NOT_TRACKED = object_of(
    success={"const": True},
    message={"const": "Not tracked"},
    reason={"enum": [DropReason.OPT_OUT.value, DropReason.BOT.value]},
)
_ITEM: Json = {
    "type": "object",
    "required": ["index", "status", "code"],
    "properties": {
        "index": {"type": "integer", "minimum": 0, "description": "Its place in the request."},
        "status": {"enum": [201, 400, 413], "description": "As `POST /event` would answer it."},
        "code": {
            "type": "string",
            "description": "`tracked`, `replayed`, `counted` (with its page), or why it was"
            " refused.",
        },
        "error": {"type": "string", "description": "The same for a person, if it was refused."},
    },
    "additionalProperties": False,
}
BATCH = object_of(
    success={"const": True},
    message={"type": "string", "pattern": "^[0-9]+ of [0-9]+ events tracked$"},
    data=list_of(_ITEM),
)
LEDGER = object_of(
    since={"type": "string", "format": "date-time", "description": "When this program began."},
    received=COUNT,
    stored=COUNT,
    duplicate=COUNT
    | {"description": "Sent again with the same `event_id`, or a view counted with its page."},
    bot=COUNT,
    opted_out=COUNT,
    rate_limited=COUNT,
    invalid=COUNT,
    refused=COUNT | {"description": "The queue was full or the database did not take it."},
    pending=COUNT | {"description": "Not decided yet."},
    refused_by_reason=object_of(
        queue_full=COUNT,
        database_unavailable=COUNT,
        refused_by_database=COUNT,
        worker_died=COUNT | {"description": "Under way when it died; may be stored."},
    ),
)
HEALTH = object_of(status={"const": "ok"}, services=object_of(api={"const": "up"}))


def deep_health(status: str) -> Json:
    """Return the schema of `/health/deep` when it says `status`."""
    up: Json = {"const": "up"}
    if status == "ok":
        services = object_of(api=up, postgres=up, redis=up)
    else:
        either: Json = {"enum": ["up", "down"]}
        services = object_of(api=up, postgres=either, redis=either)
        services["properties"]["background"] = {"const": "down"}
    return object_of(status={"const": status}, services=services)
