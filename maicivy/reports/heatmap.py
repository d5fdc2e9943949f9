"""Where visitors click: events that carry a place, grouped by it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maicivy.reports.source import Source


async def points(
    source: Source, exact: str | None, path: str | None, hours: int
) -> list[dict[str, int]]:
    """Return at most 10,000 places of the last `hours`, most often clicked first.

    On pages whose stored URL is `exact`, or on the `path` with any query, or on all.
    """
    since = source.clock() - dt.timedelta(hours=hours)
    rows = await source.postgres.fetch("select_heatmap", since, exact, path)
    return [{"x": int(row["x"]), "y": int(row["y"]), "count": row["count"]} for row in rows]
