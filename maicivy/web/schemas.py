"""The shapes of what is asked and answered, as JSON Schema (draft 2020-12)."""

from __future__ import annotations

from typing import Any

from maicivy.ingest.body import MAX_DEPTH, MAX_INTEGER, MAX_KEYS
from maicivy.ingest.event import (
    EVENT_ID,
    EVENT_TYPE,
    LETTER_TYPES,
    MAX_SESSION_DURATION,
    MAX_URL_LENGTH,
    THEME,
    URL,
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
    """Return the schema of a successful answer."""
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
THEMES = list_of(
    object_of(theme={"type": "string", "pattern": f"^{THEME}$"}, views=COUNT),
    maxItems=THEMES_LIMIT["maximum"],
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
LEDGER = object_of(
    since={"type": "string", "format": "date-time", "description": "When this program began."},
    received=COUNT,
    stored=COUNT,
    duplicate=COUNT | {"description": "Sent again with the same `event_id`."},
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


def json_values() -> Json:
    """Return the components `Level2` to `Level9`: what may stand in a body at each depth of it."""
    return {f"Level{level}": _json_value(level) for level in range(2, MAX_DEPTH + 2)}


def _json_value(level: int) -> Json:
    kinds: list[Json] = [
        {"type": "string", "pattern": STORABLE},
        {"type": "number", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
        {"type": ["boolean", "null"]},
    ]
    if level > MAX_DEPTH:
        return {"description": "Too deep for lists and objects.", "anyOf": kinds}
    inner = ref(f"Level{level + 1}")
    return {"anyOf": [*kinds, list_of(inner), any_object(inner)]}


def any_object(values: Json) -> Json:
    """Return the schema of a JSON object with any keys that can be stored."""
    return {
        "type": "object",
        "maxProperties": MAX_KEYS,
        "propertyNames": {"pattern": STORABLE},
        "additionalProperties": values,
    }


def event() -> Json:
    """Return the schema of the body of `POST /event`."""
    url: Json = {"type": ["string", "null"], "maxLength": MAX_URL_LENGTH, "pattern": URL}
    fields: Json = {
        "event_type": {"type": "string", "pattern": f"^{EVENT_TYPE}$"},
        "event_data": any_object(ref("Level3")) | {"type": ["object", "null"]},
        "page_url": url
        | {
            "description": "Stored with the query parameters that the operator keeps (by default "
            "`theme`, `utm_*`, `ref`, `lang`), redacted; of a fragment a hash route stays."
        },
        "referrer": url
        | {"description": "Stored without query and fragment. Without it, the header `Referer`."},
        "session_duration": {
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": MAX_SESSION_DURATION,
        },
        "event_id": {
            "type": ["string", "null"],
            "pattern": f"^{EVENT_ID}$",
            "description": "Your own name for the event, a UUID: sent twice within a day, it is"
            " stored and counted once.",
        },
    }
    example = {"button": "cta", "x": 450, "y": 200}
    return any_object(ref("Level2")) | {
        "description": "Fields that are not listed are ignored.",
        "required": ["event_type"],
        "properties": fields,
        **_letter_rule(),
        "examples": [{"event_type": "button_click", "event_data": example, "page_url": "/cv"}],
    }


def _letter_rule() -> Json:
    """Say that an event about a letter names its kind."""
    kind: Json = {"enum": list(LETTER_TYPES)}
    named: Json = {"required": ["letter_type"], "properties": {"letter_type": kind}}
    briefly: Json = {
        "required": ["type"],
        "not": {"required": ["letter_type"]},
        "properties": {"type": kind},
    }
    return {
        "if": {
            "required": ["event_type"],
            "properties": {"event_type": {"enum": ["letter_generate", "letter_generated"]}},
        },
        "then": {
            "required": ["event_data"],
            "properties": {"event_data": {"type": "object", "anyOf": [named, briefly]}},
        },
    }
