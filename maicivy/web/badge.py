"""The badge: one number as a small SVG, for other people's pages."""

from __future__ import annotations

import enum
import html
import re
from string import Template
from typing import TYPE_CHECKING

from aiohttp import web

from maicivy.errors import InvalidRequest
from maicivy.periods import Period
from maicivy.web import params
from maicivy.web.keys import ANSWERS

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LABEL_LENGTH = 40
STYLES = ("flat", "square")
KEPT_SECONDS = 60
# Every page may show it, whatever else it isolates itself from.
IMAGE_HEADERS = {
    "Content-Type": "image/svg+xml; charset=utf-8",
    "Cache-Control": f"public, max-age={KEPT_SECONDS}",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


class Number(enum.StrEnum):
    """What a badge can say."""

    VISITORS = "visitors"
    EVENTS = "events"
    LETTERS = "letters"


_FIELD = {
    Number.VISITORS: "unique_visitors",
    Number.EVENTS: "total_events",
    Number.LETTERS: "letters_generated",
}
_WHEN = {Period.DAY: "today", Period.WEEK: "this week", Period.MONTH: "this month"}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

# In tenths of a pixel, at 11 pixels, as DejaVu Sans has them, which is as wide as Verdana. Other
# fonts are fitted into the same room.
_WIDTHS = {
    character: width
    for width, characters in {
        30: "'",
        31: "ijl",
        32: "IJ",
        35: " ,.",
        37: "/:;\\|",
        39: "f",
        40: "-",
        43: "()[]t",
        44: "!",
        45: "r",
        51: '"',
        55: "*_`",
        57: "s",
        58: "?z",
        60: "c",
        61: "L",
        63: "F",
        64: "k",
        65: "vxy",
        66: "P",
        67: "TYao",
        68: "e",
        70: "$0123456789ESbdghnpqu{}",
        72: "K",
        75: "ABVXZ",
        76: "R",
        77: "C",
        81: "U",
        82: "N",
        83: "H",
        85: "DG",
        86: "&",
        87: "OQ",
        90: "w",
        92: "#+<=>^~",
        95: "M",
        105: "%",
        107: "m",
        109: "W",
        110: "@",
    }.items()
    for character in characters
}
_WIDEST = 110
_MARGIN = 7

_BADGE = Template("""\
<svg xmlns="http://www.w3.org/2000/svg" width="$width" height="20" role="img" aria-label="$title">
<title>$title</title>
<clipPath id="r"><rect width="$width" height="20" rx="$radius"/></clipPath>
<g clip-path="url(#r)"><rect width="$left" height="20" fill="#3f464e"/>\
<rect x="$left" width="$right" height="20" fill="#0b6b5d"/></g>
<g fill="#fff" font-family="DejaVu Sans,Verdana,Geneva,sans-serif" font-size="11">\
<text x="7" y="14" textLength="$label_width">$label</text>\
<text x="$number_x" y="14" textLength="$number_width">$number</text></g>
</svg>
""")


async def get_badge(request: web.Request) -> web.Response:
    """Answer `GET /badge/….svg`: the number that `/stats` says."""
    number = Number(request.match_info["metric"])
    period = Period(params.choice(request, "period", tuple(Period), Period.MONTH))
    style = params.choice(request, "style", STYLES, STYLES[0])
    text = label(request) or f"{number} {_WHEN[period]}"
    answer = await request.app[ANSWERS].by_period(period)
    return image(badge(text, answer.data[_FIELD[number]], style))


def badge(text: str, number: int, style: str) -> str:
    """Return the SVG of a label and a number."""
    shown = f"{number:,}"
    label_width, number_width = text_width(text), text_width(shown)
    left, right = label_width + 2 * _MARGIN, number_width + 2 * _MARGIN
    return _BADGE.substitute(
        title=html.escape(f"{text}: {shown}"),
        label=html.escape(text),
        number=shown,
        label_width=label_width,
        number_width=number_width,
        left=left,
        right=right,
        width=left + right,
        number_x=left + _MARGIN,
        radius=4 if style == "flat" else 0,
    )


def text_width(text: str) -> int:
    """Return how many pixels a text of 11 pixels takes; 1 at least."""
    tenths = sum(_WIDTHS.get(character, _WIDEST) for character in text)
    return max(1, round(tenths / 10))


def image(svg: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an SVG that may be kept for a minute."""
    return web.Response(body=svg.encode(), headers={**IMAGE_HEADERS, **(headers or {})})


def label(request: web.Request) -> str | None:
    """Return the text that the image is to bear, if one is given."""
    text = params.single(request, "label")
    if text is None:
        return None
    if not 0 < len(text.strip()) <= len(text) <= MAX_LABEL_LENGTH or _UNPRINTABLE.search(text):
        raise InvalidRequest(
            f"The parameter label must be 1 to {MAX_LABEL_LENGTH} printable characters.",
            code="invalid_parameter",
        )
    return text
