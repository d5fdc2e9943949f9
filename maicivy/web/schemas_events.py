"""JSON schemas of the bodies that bring events."""

from __future__ import annotations

from maicivy.ingest.body import MAX_DEPTH, MAX_EVENTS, MAX_INTEGER, MAX_KEYS
from maicivy.ingest.event import (
    EVENT_ID,
    EVENT_TYPE,
    LETTER_TYPES,
    MAX_SESSION_DURATION,
    MAX_URL_LENGTH,
    URL,
)
from maicivy.web.schemas import STORABLE, Json, list_of, ref


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
        "event_type": {
            "type": "string",
            "pattern": f"^{EVENT_TYPE}$",
            "description": "Some mean more. `page_load` is a `page_view`. A `click` whose data has"
            " an `href` is a `pdf_download`, a `file_download` or, if the link leads to another"
            " site, a `link_click`; else it stays a click, without the `href`.",
        },
        "event_data": any_object(ref("Level3")) | {"type": ["object", "null"]},
        "page_url": url
        | {
            "description": "Stored with the query parameters that the operator keeps (by default "
            "`theme`, `utm_*`, `ref`, `lang`), redacted; of a fragment a hash route stays."
        },
        "referrer": url
        | {
            "description": "Stored without query and fragment. Without it, the header `Referer`; an"
            " empty one says that there is none."
        },
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


def events() -> Json:
    """Return the schema of the body of `POST /events`; what each event is, is told of each."""
    each = ref("Level2") | {"description": "An event as in `POST /event`."}
    many: Json = {"type": "array", "minItems": 1, "maxItems": MAX_EVENTS, "items": each}
    view = {"event_type": "page_view", "page_url": "/cv"}
    click = {"event_type": "button_click", "event_data": {"x": 450, "y": 200}}
    return any_object(ref("Level2")) | {
        "description": "Fields that are not listed are ignored.",
        "required": ["events"],
        "properties": {"events": many},
        "examples": [{"events": [view, click]}],
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
