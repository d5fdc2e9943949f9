"""The shapes of what visits tell: rows, and what is said about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maicivy.periods import Period
from maicivy.reports.exports import COLUMNS
from maicivy.reports.timeseries import Interval, Metric
from maicivy.web.schemas import COUNT, STRING, list_of, object_of

if TYPE_CHECKING:
    from maicivy.web.schemas import Json

DATE: Json = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
CURSOR: Json = {"type": "string", "pattern": "^YWZ0ZXI6[A-Za-z0-9_=-]+$"}
LIMIT: Json = {"type": "integer", "default": 10, "minimum": 1, "maximum": 100}
METRIC: Json = {"type": "string", "enum": [metric.value for metric in Metric]}
INTERVAL: Json = {"type": "string", "enum": [interval.value for interval in Interval]}
PERIOD: Json = {"type": "string", "enum": [period.value for period in Period]}
NAME: Json = {"type": "string", "description": "`(other)` is all whom too few visitors had."}

_RATE: Json = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
_MEAN: Json = {"type": ["number", "null"], "minimum": 0}


def compared(row: Json) -> Json:
    """Return the schema of a row that may have the numbers of the span before as `previous`."""
    numbers = {
        name: schema | {"type": [*_types(schema), "null"]}
        for name, schema in row["properties"].items()
        if schema.get("type") != "string"
    }
    return row | {"properties": row["properties"] | {"previous": object_of(**numbers)}}


def _types(schema: Json) -> list[str]:
    kind = schema["type"]
    return [kind] if isinstance(kind, str) else [one for one in kind if one != "null"]


SUMMARY = compared(
    object_of(
        visitors=COUNT,
        visits=COUNT,
        events=COUNT,
        page_views=COUNT,
        letters=COUNT,
        conversion_rate={"type": "number", "minimum": 0, "description": "Letters per visitor."},
        bounce_rate=_RATE | {"description": "Visits of one page view and nothing else."},
        mean_duration_seconds=_MEAN,
        median_duration_seconds={
            "type": ["integer", "null"],
            "minimum": 0,
            "description": "In whole minutes beyond ten.",
        },
        pages_per_visit=_MEAN,
        new_visitors=COUNT,
        returning_visitors=COUNT,
    )
)
PAGES = list_of(
    compared(
        object_of(
            path=NAME,
            visitors=COUNT,
            views=COUNT,
            entries=COUNT,
            exits=COUNT,
            bounce_rate=_RATE,
            mean_seconds=_MEAN | {"description": "Of attention; null when it was not reported."},
        )
    )
)
VISITS = list_of(
    compared(
        object_of(
            name=NAME,
            visitors=COUNT,
            visits=COUNT,
            bounce_rate=_RATE,
            mean_duration_seconds=_MEAN,
        )
    )
)
EVENTS = list_of(compared(object_of(name=NAME, visitors=COUNT, events=COUNT)))
_PROPERTY = compared(object_of(property=NAME, visitors=COUNT, events=COUNT))
_VALUE = compared(object_of(value=NAME, visitors=COUNT, events=COUNT))
PROPERTIES: Json = {"oneOf": [list_of(_PROPERTY, minItems=1), list_of(_VALUE)]}
_STEP = object_of(start={"type": "string", "format": "date-time"}, value=COUNT)
SERIES = list_of(_STEP | {"properties": _STEP["properties"] | {"previous": COUNT}})

_DAYS = object_of(**{"from": DATE, "to": DATE})
_UNTIL: Json = {
    "type": "string",
    "format": "date-time",
    "description": "Where a day ends early that is compared with today so far.",
}
_FILTERS: Json = {"type": "object", "additionalProperties": STRING}


def meta(**more: Json) -> Json:
    """Return the schema of what is said about rows."""
    told = object_of(
        **{"from": DATE, "to": DATE, "timezone": STRING, "exact": {"const": True}, **more}
    )
    compare = _DAYS | {"properties": _DAYS["properties"] | {"until": _UNTIL}}
    optional: Json = {"filters": _FILTERS, "compare": compare}
    return told | {"properties": told["properties"] | optional}


LIST_META = meta(
    limit=LIMIT,
    count=COUNT,
    next_cursor=CURSOR | {"type": ["string", "null"], "description": "Null at the end."},
)
SUMMARY_META = meta()
SERIES_META = meta(metric=METRIC, interval=INTERVAL)
EXPORT: Json = {"type": "string", "enum": list(COLUMNS)}
EXPORTED = list_of({"type": "object"})
