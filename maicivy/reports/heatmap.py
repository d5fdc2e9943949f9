"""Where visitors click: events that carry a place, grouped by it."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maicivy.reports.source import Source

_PATH = re.compile(r"[^?#]*")


@dataclass(frozen=True, slots=True)
class Widths:
    """Which viewports count, in CSS pixels; None for no bound. With one, those unknown do not."""

    least: int | None = None
    most: int | None = None


ANY_WIDTH = Widths()


@dataclass(frozen=True, slots=True)
class Points:
    """A JSON array of `{"x": …, "y": …, "count": …}`, and its length."""

    json: str
    count: int


async def points(
    source: Source, exact: str | None, path: str | None, hours: int, widths: Widths = ANY_WIDTH
) -> Points:
    """Return at most 10,000 places of the last `hours`, most often clicked first.

    On pages whose stored URL is `exact`, or on the `path` with any query, or on all.
    """
    return await source.gate.share(
        ("heatmap", exact, path, hours, widths),
        lambda: _points(source, exact, path, hours, widths),
    )


async def _points(
    source: Source, exact: str | None, path: str | None, hours: int, widths: Widths
) -> Points:
    since, scan = source.clock() - dt.timedelta(hours=hours), source.postgres.scan
    asked = since, widths.least, widths.most
    if exact is not None:
        path = path_of(exact)
        [row] = await scan("select_page_heatmap", *asked, path, exact.removeprefix(path))
    elif path is not None:
        [row] = await scan("select_page_heatmap", *asked, path, None)
    else:
        [row] = await scan("select_heatmap", *asked)
    return Points(row["points"], row["count"])


def path_of(page_url: str) -> str:
    """Return a page's URL without its query and fragment, as `event_places` has it."""
    found = _PATH.match(page_url)
    return found[0] if found else ""
