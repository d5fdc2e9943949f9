"""The shapes of the answers, as JSON Schema."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_COUNT: Json = {"type": "integer", "minimum": 0}
_TEXT: Json = {"type": "string"}
_UUID: Json = {"type": "string", "format": "uuid"}
_DATE: Json = {"type": "string", "format": "date"}
_RATE: Json = {"type": "number", "minimum": 0}
_PERIOD: Json = {"enum": ["day", "week", "month"]}


def object_of(**properties: Json) -> Json:
    """Return the schema of an object that has exactly these properties."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def list_of(items: Json) -> Json:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def answer(data: Json, meta: Json | None = None) -> Json:
    """Return the schema of a successful answer."""
    properties: Json = {"success": {"const": True}, "data": data}
    if meta is not None:
        properties["meta"] = object_of(**meta)
    return object_of(**properties)


REALTIME = object_of(
    current_visitors=_COUNT,
    unique_today=_COUNT,
    total_events=_COUNT,
    letters_today=_COUNT,
    timestamp={"type": "integer", "description": "Unix time in seconds."},
)
STATS = object_of(
    period=_PERIOD,
    period_key={"type": "string", "examples": ["2025-12-08", "2025-W50", "2025-12"]},
    total_events=_COUNT,
    letters_generated=_COUNT,
    unique_visitors=_COUNT,
    conversion_rate=_RATE,
)
THEMES = list_of(object_of(theme=_TEXT, views=_COUNT))
LETTERS = object_of(
    period=_PERIOD,
    total=_COUNT,
    motivation=_COUNT,
    anti_motivation=_COUNT,
    unique_visitors=_COUNT,
    conversion_rate=_RATE,
    history=list_of(object_of(date=_DATE, count=_COUNT)),
)
TIMELINE = list_of(
    object_of(
        id=_UUID,
        visitor_id={**_UUID, "description": "A pseudonym that changes every day."},
        event_type=_TEXT,
        event_data={"type": "string", "contentMediaType": "application/json"},
        page_url=_TEXT,
        created_at={"type": "string", "format": "date-time"},
    )
)
HEATMAP = list_of(object_of(x={"type": "integer"}, y={"type": "integer"}, count=_COUNT))
HEALTH = object_of(
    status={"enum": ["ok", "degraded"]},
    services={
        "type": "object",
        "required": ["api"],
        "additionalProperties": {"enum": ["up", "down"]},
    },
)
