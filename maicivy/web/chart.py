"""The mini chart: the last days as an SVG without a script, for other people's pages."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import html
from string import Template
from typing import TYPE_CHECKING, NamedTuple

from maicivy.reports.span import NO_FILTERS, Span
from maicivy.reports.timeseries import Interval, Metric, timeseries
from maicivy.web import params
from maicivy.web.badge import image, label
from maicivy.web.insights import today
from maicivy.web.keys import SOURCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web


MIN_DAYS, MAX_DAYS, USUAL_DAYS = 7, 90, 30
WIDTH, HEIGHT = 600, 160

_TITLES = {
    Metric.VISITORS: "Visitors a day",
    Metric.VISITS: "Visits a day",
    Metric.EVENTS: "Events a day",
    Metric.PAGE_VIEWS: "Page views a day",
    Metric.LETTERS: "Letters a day",
}
_TOP, _BOTTOM, _SIDE = 44, 134, 12
_GAP = 0.28

STYLE = (
    "svg{color-scheme:light dark}"
    "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',sans-serif;"
    "fill:#59616b}"
    ".paper{fill:#fff;stroke:#e2dfd9}.line{stroke:#e2dfd9}.title{font-weight:600;fill:#1f2328}"
    ".bar{fill:#0b6b5d}.open{opacity:.55}"
    "@media(prefers-color-scheme:dark){text{fill:#a3aab3}.paper{fill:#1b1f24;stroke:#2c3138}"
    ".line{stroke:#2c3138}.title{fill:#e8e6e1}.bar{fill:#5fd0bd}}"
)
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# Opened by itself, the image may use its own style and nothing else.
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'"

_CHART = Template(f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" \
height="{HEIGHT}" role="img" aria-labelledby="t d">
<title id="t">$title</title>
<desc id="d">$description</desc>
<style>{STYLE}</style>
<rect class="paper" x=".5" y=".5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>
<text class="title" x="{_SIDE}" y="24">$title</text>
<text x="{WIDTH - _SIDE}" y="24" text-anchor="end">$peak</text>
<path class="line" d="M{_SIDE} {_BOTTOM + 0.5}H{WIDTH - _SIDE}"/>
$bars
<text x="{_SIDE}" y="151">$first</text>
<text x="{WIDTH - _SIDE}" y="151" text-anchor="end">$last</text>
</svg>
""")


class DayCount(NamedTuple):
    """A local day and its number."""

    day: dt.date
    number: int


async def get_chart(request: web.Request) -> web.Response:
    """Answer `GET /embed/chart.svg`."""
    metric = Metric(params.choice(request, "metric", tuple(Metric), Metric.VISITORS))
    days = params.integer(request, "days", USUAL_DAYS, MIN_DAYS, MAX_DAYS)
    title = label(request) or _TITLES[metric]
    last = today(request)
    span = Span(last - dt.timedelta(days=days - 1), last)
    steps = await timeseries(request.app[SOURCE], metric, Interval.DAY, span, NO_FILTERS)
    counts = [DayCount(day, step["value"]) for day, step in zip(span, steps, strict=True)]
    return image(chart(title, counts), {"Content-Security-Policy": POLICY})


def chart(title: str, counts: Sequence[DayCount]) -> str:
    """Return the SVG of a number for each day; the last day is not over and looks like it."""
    highest = max(one.number for one in counts)
    first, last = counts[0].day.isoformat(), counts[-1].day.isoformat()
    latest = f"{counts[-1].number:,} on the last day"
    return _CHART.substitute(
        title=html.escape(title),
        description=f"{first} to {last}: {highest:,} at most, {latest}.",
        peak=f"max. {highest:,}",
        bars="\n".join(_bars(counts, highest)),
        first=first,
        last=last,
    )


def _bars(counts: Sequence[DayCount], highest: int) -> list[str]:
    step = (WIDTH - 2 * _SIDE) / len(counts)
    width = step * (1 - _GAP)
    bars = []
    for position, (day, count) in enumerate(counts):
        if not count:
            continue
        height = max(1.0, count / highest * (_BOTTOM - _TOP))
        kind = "bar open" if position == len(counts) - 1 else "bar"
        x, y = _SIDE + position * step + step * _GAP / 2, _BOTTOM - height
        bars.append(
            f'<rect class="{kind}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" '
            f'height="{height:.2f}"><title>{day.isoformat()}: {count:,}</title></rect>'
        )
    return bars
