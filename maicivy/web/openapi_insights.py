"""The description of what visits tell, and of exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maicivy.ingest.event import EVENT_TYPE
from maicivy.reports.breakdown import DEVICES, SOURCES
from maicivy.reports.span import Filters
from maicivy.web import schemas, schemas_insights
from maicivy.web.middleware import ANALYTICS
from maicivy.web.openapi_parts import (
    REVALIDATION,
    UNCHANGED,
    answered,
    errors,
    json_answer,
    query,
)
from maicivy.web.tables import FORMATS

if TYPE_CHECKING:
    from maicivy.web.schemas import Json

_TEXT: Json = schemas.PAGE_URL
_MEANINGS = {
    "source": "Visits that came from there: a `name` of `/sources`.",
    "browser": "Visits with this browser.",
    "os": "Visits with this operating system.",
    "device": "Visits with this kind of device.",
    "path": "Events on this path; a visit counts when one of its events does.",
    "event_type": "Events of this type.",
    "theme": "Views of this CV theme.",
    "profile": "Visits of visitors with this profile.",
}
_CSV: Json = {"text/csv": {"schema": schemas.STRING}}


def insights() -> Json:
    """Return the paths of what visits tell, and of exports."""
    by_source = query("by", {"type": "string", "enum": list(SOURCES), "default": "source"}, "What.")
    by_device = query("by", {"type": "string", "enum": list(DEVICES)}, "What.")
    reports = {
        "sessions/summary": _report(
            "summary",
            "Headline numbers",
            (schemas_insights.SUMMARY, schemas_insights.SUMMARY_META),
            [],
        ),
        "timeseries": _report(
            "timeseries",
            "One number in the course of time",
            (schemas_insights.SERIES, schemas_insights.SERIES_META),
            [
                query("metric", schemas_insights.METRIC, "Which number.") | {"required": True},
                query(
                    "interval",
                    schemas_insights.INTERVAL,
                    "The length of a step; an hour for at most 8 days.",
                ),
            ],
        ),
        "pages": _list("pages", "Pages", schemas_insights.PAGES),
        "sources": _list("sources", "Where visits came from", schemas_insights.VISITS, by_source),
        "devices": _list(
            "devices",
            "What visitors came with",
            schemas_insights.VISITS,
            by_device | {"required": True},
        ),
        "events": _list("event_types", "Events by their type", schemas_insights.EVENTS),
        "events/{name}/properties": _properties(),
        "export/{what}": _export(),
    }
    return {f"{ANALYTICS}/{path}": report for path, report in reports.items()}


def days(most: str) -> list[Json]:
    """Return the parameters of a span of days."""
    day = schemas_insights.DATE
    return [
        query("period", schemas_insights.PERIOD, "The open period so far, or else:"),
        query("from", day, f"The first local day; at most {most} before `to`."),
        query("to", day, "The last local day, today at the latest."),
    ]


def spans() -> list[Json]:
    """Return the parameters of a list of a span of days, but for its limit."""
    return [*days("400 days, 90 with filters,"), *_narrowing(), _compare(), _format(), _cut()[1]]


def _narrowing() -> list[Json]:
    return [query(name, _TEXT, _MEANINGS[name]) for name in Filters._fields]


def _format() -> Json:
    text = "The same as `Accept: text/csv`."
    return query("format", {"type": "string", "enum": list(FORMATS)}, text)


def _compare() -> Json:
    return query(
        "compare", {"const": "previous"}, "With the same number of the equally long span before."
    )


def _cut() -> list[Json]:
    return [
        query("limit", schemas_insights.LIMIT, "How many rows."),
        query("cursor", schemas_insights.CURSOR, "The `meta.next_cursor` of an earlier answer."),
    ]


def _list(name: str, summary: str, rows: Json, *parameters: Json) -> Json:
    return _report(name, summary, (rows, schemas_insights.LIST_META), [*parameters, *_cut()])


def _report(name: str, summary: str, shapes: tuple[Json, Json], parameters: list[Json]) -> Json:
    usual = [*days("400 days, 90 with filters,"), *_narrowing(), _compare(), _format()]
    return _get(name, summary, _answer(shapes), [*parameters, *usual])


def _properties() -> Json:
    shapes = (schemas_insights.PROPERTIES, schemas_insights.LIST_META)
    name: Json = {
        "name": "name",
        "in": "path",
        "required": True,
        "description": "The type of the events.",
        "schema": {"type": "string", "pattern": f"^{EVENT_TYPE}$"},
        "example": "button_click",
    }
    wanted = query("property", _TEXT, "Its values, instead of all properties.")
    usual = [*days("90 days"), *_narrowing(), _compare(), _format()]
    parameters = [name, wanted, *_cut(), *usual]
    summary = "What events said of themselves"
    return _get("event_properties", summary, _answer(shapes), parameters)


def _export() -> Json:
    what: Json = {
        "name": "what",
        "in": "path",
        "required": True,
        "description": "Which table.",
        "schema": schemas_insights.EXPORT,
    }
    body = schemas.answer(schemas_insights.EXPORTED)
    found = answered("A file.", {"application/json": {"schema": body}} | _CSV)
    parameters = [what, *days("400 days, 90 for events,"), _format()]
    described = _get("export", "Whole tables to take away", found, parameters)
    responses = described["get"]["responses"]
    del responses["304"]
    responses |= errors({404: ["not_found"]})
    return described


def _answer(shapes: tuple[Json, Json]) -> Json:
    found = json_answer("The answer.", schemas.answer(*shapes), ["Cache-Control"])
    found["content"] |= _CSV
    found["headers"] |= REVALIDATION
    return found


def _get(name: str, summary: str, found: Json, parameters: list[Json]) -> Json:
    codes = {400: ["invalid_parameter", "missing_parameter"], 503: ["unavailable", "busy"]}
    return {
        "get": {
            "tags": ["numbers"],
            "summary": summary,
            "operationId": f"get_{name}",
            "parameters": parameters,
            "responses": {"200": found, "304": UNCHANGED} | errors(codes),
        }
    }
