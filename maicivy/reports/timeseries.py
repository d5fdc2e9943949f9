"""One number in the course of time: by the hour, day, ISO week or month, zeros filled."""

from __future__ import annotations

import datetime as dt
import enum
from typing import TYPE_CHECKING, Any

from maicivy.periods import ONE_DAY, Period, day_start

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from maicivy.reports.source import Source
    from maicivy.reports.span import Filters, Span

ONE_HOUR = dt.timedelta(hours=1)
HOURLY_DAYS = 8
USUALLY_HOURLY_DAYS = 2


class Metric(enum.StrEnum):
    """What can be seen in the course of time."""

    VISITORS = "visitors"
    VISITS = "visits"
    EVENTS = "events"
    PAGE_VIEWS = "page_views"
    LETTERS = "letters"


class Interval(enum.StrEnum):
    """How long a step is."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


async def timeseries(
    source: Source,
    metric: Metric,
    interval: Interval,
    span: Span,
    filters: Filters,
    *,
    compared: bool = False,
) -> list[dict[str, Any]]:
    """Return `{"start", "value"}` of each step; with `compared` also `previous`, step by step.

    Unique visitors are those of each step; the first and the last are cut where the span is.
    """
    await source.visits.catch_up()
    values = await _values(source, metric, interval, span, filters)
    series: list[dict[str, Any]] = [
        {"start": start.isoformat(), "value": values.get(start, 0)}
        for start in starts(interval, span, source.zone)
    ]
    if compared:
        before = span.previous()
        earlier = await _values(source, metric, interval, before, filters)
        steps = [earlier.get(start, 0) for start in starts(interval, before, source.zone)]
        for n, step in enumerate(series):
            step["previous"] = steps[n] if n < len(steps) else 0
    return series


def starts(interval: Interval, span: Span, zone: ZoneInfo) -> list[dt.datetime]:
    """Return the local instants at which the steps of a span begin."""
    if interval is Interval.HOUR:
        instant, end = day_start(span.first, zone), _end(span, zone)
        found = []
        while instant < end:
            found.append(instant.astimezone(zone))
            instant += ONE_HOUR
        return found
    return [day_start(day, zone).astimezone(zone) for day in dict.fromkeys(_firsts(interval, span))]


def _firsts(interval: Interval, span: Span) -> list[dt.date]:
    """Return for each day of the span the first day of its step that is in the span."""
    if interval in (Interval.DAY, Interval.HOUR):
        return list(span)
    period = Period(interval.value)
    return [max(period.start(day), span.first) for day in span]


def _end(span: Span, zone: ZoneInfo) -> dt.datetime:
    return day_start(span.last + ONE_DAY, zone)


async def _values(
    source: Source, metric: Metric, interval: Interval, span: Span, filters: Filters
) -> dict[dt.datetime, int]:
    zone, firsts, hourly = source.zone, _firsts(interval, span), interval is Interval.HOUR
    if filters.given():
        how = hourly, zone.key, firsts
        rows = await source.scan("select_filtered_buckets", span.first, span.last, *filters, *how)
        found = [(row["bucket"] if hourly else row["bucket"].date(), row[metric]) for row in rows]
    elif hourly:
        rows = await source.postgres.fetch(
            "select_hours", day_start(span.first, zone), _end(span, zone)
        )
        found = [(row["hour"], row[metric]) for row in rows]
    else:
        rows = await source.postgres.fetch("select_days", span.first, span.last, firsts)
        first_of = dict(zip(span, firsts, strict=True))
        found = [(first_of[row["day"]], row[metric]) for row in rows]
    values: dict[dt.datetime, int] = {}
    for when, value in found:
        start = when.astimezone(zone) if hourly else day_start(when, zone).astimezone(zone)
        values[start] = values.get(start, 0) + value
    return values


def usual_interval(span: Span) -> Interval:
    """Return the interval that is meant when none is named."""
    return Interval.HOUR if span.days <= USUALLY_HOURLY_DAYS else Interval.DAY
