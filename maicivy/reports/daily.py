"""One number for each of the last days: what a small chart shows."""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
from typing import TYPE_CHECKING, NamedTuple

from maicivy.errors import StorageUnavailable
from maicivy.periods import ONE_DAY, day_start, local_day

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maicivy.reports.source import Source


class Metric(enum.StrEnum):
    """What is counted."""

    VISITORS = "visitors"
    EVENTS = "events"
    LETTERS = "letters"


class DayCount(NamedTuple):
    """A local day and its number."""

    day: dt.date
    number: int


async def by_day(source: Source, metric: Metric, days: int) -> list[DayCount]:
    """Return a number for each of the last `days`, zeros included, today's so far as the last."""
    today = local_day(source.clock(), source.zone)
    listed = [today - dt.timedelta(days=back) for back in range(days - 1, -1, -1)]
    if metric is Metric.VISITORS:
        counts = await _visitors(source, listed)
    else:
        rows = await source.postgres.fetch("select_day_totals", listed[0], today)
        counts = {row["day"]: row[metric.value] for row in rows}
    return [DayCount(day, counts.get(day, 0)) for day in listed]


async def _visitors(source: Source, days: Sequence[dt.date]) -> Mapping[dt.date, int]:
    """Return Redis' estimates, else what the events say."""
    with contextlib.suppress(StorageUnavailable):
        estimates = await source.realtime.unique_by_day(days)
        if estimates is not None:
            return dict(zip(days, estimates, strict=True))
    start, end = day_start(days[0], source.zone), day_start(days[-1] + ONE_DAY, source.zone)
    rows = await source.scan("count_visitors_by_day", start, end, source.zone.key)
    return {row["day"]: row["visitors"] for row in rows}
