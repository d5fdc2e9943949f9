"""What visits tell: summary, time series, pages, sources, devices, events, their properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maicivy.errors import InvalidRequest
from maicivy.ingest.event import is_event_type
from maicivy.periods import local_day
from maicivy.reports import breakdown as lists
from maicivy.reports.properties import properties
from maicivy.reports.span import Filters
from maicivy.reports.summary import comparable_until, summary
from maicivy.reports.timeseries import HOURLY_DAYS, Interval, Metric, timeseries, usual_interval
from maicivy.web import params
from maicivy.web.access import least_visitors
from maicivy.web.keys import SOURCE
from maicivy.web.tables import columns_of, table

if TYPE_CHECKING:
    import datetime as dt

    from aiohttp import web

    from maicivy.reports.breakdown import Dimension, Rows
    from maicivy.reports.source import Source
    from maicivy.reports.span import Span

SPAN_PARAMETERS = {"period", "from", "to", "compare", "cursor", "format", *Filters._fields}
VISIT_COLUMNS = ("name", "visitors", "visits", "bounce_rate", "mean_duration_seconds")
PAGE_COLUMNS = ("path", "visitors", "views", "entries", "exits", "bounce_rate", "mean_seconds")
EVENT_COLUMNS = ("name", "visitors", "events")
THEME_COLUMNS = ("theme", "views", "visitors")


async def get_summary(request: web.Request) -> web.StreamResponse:
    """Answer `GET /sessions/summary`."""
    span, filters, compared = _asked(request)
    source = request.app[SOURCE]
    until = comparable_until(source, span) if compared else None
    totals = await summary(source, span, filters, compared=compared, until=until)
    meta = _meta(request, span, filters, compared=compared)
    if until is not None:
        meta["compare"]["until"] = until.astimezone(source.zone).isoformat()
    usual = [name for name in totals if name != "previous"]
    return table(request, [totals], meta, columns_of([totals], usual), single=True)


async def get_timeseries(request: web.Request) -> web.StreamResponse:
    """Answer `GET /timeseries`."""
    span, filters, compared = _asked(request)
    metric = Metric(params.choice(request, "metric", list(Metric), None))
    usual = usual_interval(span)
    interval = Interval(params.choice(request, "interval", list(Interval), usual))
    if interval is Interval.HOUR and span.days > HOURLY_DAYS:
        raise InvalidRequest(
            f"The parameter interval can be hour for at most {HOURLY_DAYS} days.",
            code="invalid_parameter",
        )
    source = request.app[SOURCE]
    rows = await timeseries(source, metric, interval, span, filters, compared=compared)
    meta = _meta(request, span, filters, compared=compared)
    meta |= {"metric": metric.value, "interval": interval.value}
    return table(request, rows, meta, columns_of(rows, ("start", "value")))


async def get_pages(request: web.Request) -> web.StreamResponse:
    """Answer `GET /pages`."""
    return await _list(request, lists.PAGES, PAGE_COLUMNS)


async def get_sources(request: web.Request) -> web.StreamResponse:
    """Answer `GET /sources`."""
    by = params.choice(request, "by", lists.SOURCES, "source")
    return await _list(request, lists.of_visits(by), VISIT_COLUMNS)


async def get_devices(request: web.Request) -> web.StreamResponse:
    """Answer `GET /devices`."""
    by = params.choice(request, "by", lists.DEVICES, None)
    return await _list(request, lists.of_visits(by), VISIT_COLUMNS)


async def get_events(request: web.Request) -> web.StreamResponse:
    """Answer `GET /events`."""
    return await _list(request, lists.EVENTS, EVENT_COLUMNS)


async def get_themes(request: web.Request) -> web.StreamResponse:
    """Answer `GET /themes` of a span of time."""
    return await _list(request, lists.THEMES, THEME_COLUMNS, (5, 20))


async def get_properties(request: web.Request) -> web.StreamResponse:
    """Answer `GET /events/{name}/properties`; `property` asks for the values of one."""
    event_type = request.match_info["name"]
    if not is_event_type(event_type):
        raise InvalidRequest("This is no name of an event.", code="invalid_parameter")
    span, filters, compared = _asked(request, params.RAW_DAYS)
    of = event_type, params.text(request, "property")
    cut = params.cut(request, least_visitors(request))
    source, asked = request.app[SOURCE], (span, filters)
    found = await properties(source, of, asked, cut, compared=compared)
    meta = _meta(request, span, filters, compared=compared) | _page(cut.limit, found)
    usual = ("property" if of[1] is None else "value", "visitors", "events")
    return table(request, found.rows, meta, columns_of(found.rows, usual))


async def _list(
    request: web.Request,
    dimension: Dimension,
    columns: tuple[str, ...],
    limits: tuple[int, int] = (10, 100),
) -> web.StreamResponse:
    span, filters, compared = _asked(request)
    cut = params.cut(request, least_visitors(request), *limits)
    source: Source = request.app[SOURCE]
    asked = lists.Question(dimension, span, filters)
    found = await lists.breakdown(source, asked, cut, compared=compared)
    meta = _meta(request, span, filters, compared=compared) | _page(cut.limit, found)
    return table(request, found.rows, meta, columns_of(found.rows, columns))


def _asked(
    request: web.Request, unfiltered: int = params.ROLLUP_DAYS
) -> tuple[Span, Filters, bool]:
    """Return the days, the filters and whether to compare: what all of these take."""
    filters = params.filters(request)
    most = params.RAW_DAYS if filters.given() else unfiltered
    return params.span(request, today(request), most), filters, params.compared(request)


def today(request: web.Request) -> dt.date:
    """Return the local day."""
    source = request.app[SOURCE]
    return local_day(source.clock(), source.zone)


def _meta(request: web.Request, span: Span, filters: Filters, *, compared: bool) -> dict[str, Any]:
    meta: dict[str, Any] = {**span.fields(), "timezone": request.app[SOURCE].zone.key}
    meta["filters"] = filters.given()
    if compared:
        meta["compare"] = span.previous().fields()
    return meta | {"exact": True}


def _page(limit: int, found: Rows) -> dict[str, Any]:
    return {"limit": limit, "count": len(found.rows), "next_cursor": found.next_cursor}
