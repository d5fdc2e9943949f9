"""The badge and the mini chart: right numbers, well-formed, escaped, for pages of others."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest

from maicivy.web import chart as chart_module
from maicivy.web.badge import badge, text_width
from maicivy.web.chart import DayCount, chart
from tests.conftest import API, get_data, send_event
from tests.integration.test_access import PASSWORD, cookie_of, session

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Client, ClientFactory, FakeClock

SVG = "{http://www.w3.org/2000/svg}"
LETTER = {"event_type": "letter_generate", "event_data": {"letter_type": "motivation"}}


async def svg_of(client: Client, path: str) -> ET.Element:
    answer = await client.get(path)
    assert answer.status == 200, await answer.text()
    assert answer.headers["Content-Type"] == "image/svg+xml; charset=utf-8"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    return ET.fromstring(await answer.read())


def texts(svg: ET.Element) -> list[str]:
    return [one.text or "" for one in svg.iter(f"{SVG}text")]


async def visit(client: Client, who: int, **event: Any) -> None:
    headers = {"User-Agent": f"agent {who}", "Sec-Fetch-Site": "cross-site"}
    body = {"event_type": "page_view"} | event
    answer = await client.post(f"{API}/event", json=body, headers=headers)
    assert answer.status == 201


async def test_a_badge_says_what_the_stats_say(client: Client) -> None:
    for who in range(5):
        await visit(client, who)
    await visit(client, 0, **LETTER)
    for period, when in (("day", "today"), ("week", "this week"), ("month", "this month")):
        stats = await get_data(client, f"stats?period={period}")
        for name, field in (
            ("visitors", "unique_visitors"),
            ("events", "total_events"),
            ("letters", "letters_generated"),
        ):
            svg = await svg_of(client, f"/badge/{name}.svg?period={period}")
            assert texts(svg) == [f"{name} {when}", str(stats[field])]
            assert stats[field] == {"visitors": 5, "events": 6, "letters": 1}[name]
    usual = texts(await svg_of(client, "/badge/visitors.svg"))
    assert usual == ["visitors this month", "5"]


async def test_a_label_is_shown_as_it_is_and_does_nothing(client: Client) -> None:
    label = "<script>alert('&\"')</script>"
    svg = await svg_of(
        client, str(client.make_url("/badge/visitors.svg").with_query(label=label).relative())
    )
    assert texts(svg)[0] == label
    assert not list(svg.iter(f"{SVG}script"))
    assert svg.attrib["aria-label"] == f"{label}: 0"
    chart_svg = await svg_of(
        client, str(client.make_url("/embed/chart.svg").with_query(label=label).relative())
    )
    assert texts(chart_svg)[0] == label


@pytest.mark.parametrize(
    "path",
    [
        "/badge/visitors.svg?period=year",
        "/badge/visitors.svg?style=round",
        "/badge/visitors.svg?label=",
        f"/badge/visitors.svg?label={'x' * 41}",
        "/badge/visitors.svg?label=a%00b",
        "/badge/visitors.svg?label=a%EF%BF%BFb",
        "/badge/visitors.svg?label=a&label=b",
        "/embed/chart.svg?metric=clicks",
        "/embed/chart.svg?days=6",
        "/embed/chart.svg?days=91",
        "/embed/chart.svg?days=x",
    ],
)
async def test_a_wrong_parameter_is_named(client: Client, path: str) -> None:
    answer = await client.get(path)
    assert answer.status == 400
    name = re.search(r"\?(\w+)=", path)
    assert name is not None
    assert f"parameter {name[1]} must" in (await answer.json())["error"]


async def test_another_number_is_not_there(client: Client) -> None:
    assert (await client.get("/badge/secrets.svg")).status == 404


def test_the_boxes_are_as_wide_as_what_is_in_them() -> None:
    for text, number in (("v", 0), ("visitors this month", 1234567), ("日本語", 5), ("WWWWW", 1)):
        svg = ET.fromstring(badge(text, number, "flat"))
        left, right = [one for one in svg.iter(f"{SVG}rect") if one.get("fill")]
        label, shown = svg.iter(f"{SVG}text")
        assert int(left.attrib["width"]) == int(label.attrib["textLength"]) + 14
        assert int(right.attrib["width"]) == int(shown.attrib["textLength"]) + 14
        assert int(right.attrib["x"]) == int(left.attrib["width"])
        assert int(svg.attrib["width"]) == int(left.attrib["width"]) + int(right.attrib["width"])
        assert shown.text == f"{number:,}"
    assert text_width("WWWW") > text_width("iiii") * 3
    assert 'rx="0"' in badge("a", 1, "square")


# --- the chart ------------------------------------------------------------------------------------


async def test_a_chart_has_a_number_for_each_day_in_the_zone(
    make_client: ClientFactory, clock: FakeClock
) -> None:
    clock.freeze(dt.datetime(2026, 3, 10, 23, 30, tzinfo=dt.UTC))  # the 11th in Paris
    client = await make_client(timezone=ZoneInfo("Europe/Paris"))
    for who in range(3):
        await visit(client, who)
    await visit(client, 0, **LETTER)
    clock.freeze(dt.datetime(2026, 3, 12, 12, tzinfo=dt.UTC))
    await visit(client, 7)
    expected = {"visitors": (3, 1), "events": (4, 1), "letters": (1, 0)}
    for metric, numbers in expected.items():
        svg = await svg_of(client, f"/embed/chart.svg?metric={metric}&days=7")
        assert texts(svg)[-2:] == ["2026-03-06", "2026-03-12"]
        told = [title.text for title in svg.iter(f"{SVG}title")][1:]
        days = zip(("2026-03-11", "2026-03-12"), numbers, strict=True)
        assert told == [f"{day}: {number}" for day, number in days if number]
    assert (await get_data(client, "stats?period=day"))["unique_visitors"] == 1


async def test_a_chart_is_drawn(client: Client) -> None:
    await send_event(client)
    svg = await svg_of(client, "/embed/chart.svg?metric=events&days=7")
    assert texts(svg)[:2] == ["Events a day", "max. 1"]
    bars = [one for one in svg.iter(f"{SVG}rect") if "bar" in one.get("class", "")]
    assert len(bars) == 1
    assert bars[0].attrib["class"] == "bar open"
    today = dt.datetime.now(dt.UTC).date().isoformat()
    assert [one.text for one in bars[0]] == [f"{today}: 1"]
    answer = await client.get("/embed/chart.svg")
    style = re.search(r"<style>(.*?)</style>", await answer.text())
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["Content-Security-Policy"]


def test_bars_are_inside_and_as_high_as_their_numbers() -> None:
    day = dt.date(2026, 1, 1)
    counts = [DayCount(day + dt.timedelta(days=n), n * n) for n in range(90)]
    svg = ET.fromstring(chart("x", counts))
    bars = [one for one in svg.iter(f"{SVG}rect") if "bar" in one.get("class", "")]
    assert len(bars) == 89
    number: Callable[[ET.Element, str], float] = lambda bar, name: float(bar.attrib[name])  # noqa: E731
    for bar in bars:
        assert (
            0 <= number(bar, "x") <= number(bar, "x") + number(bar, "width") <= chart_module.WIDTH
        )
        assert number(bar, "y") + number(bar, "height") == pytest.approx(134, abs=0.02)
    assert number(bars[-1], "height") == pytest.approx(90)
    assert number(bars[0], "height") == 1
    half = bars[62]  # 63 * 63 is half of 89 * 89
    assert number(half, "height") == pytest.approx(90 * 63 * 63 / 89 / 89, abs=0.02)
    empty = chart("x", [DayCount(day, 0), DayCount(day, 0)])
    assert "bar" not in empty.partition("</style>")[2]


# --- behind a password ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/badge/visitors.svg", "/embed/chart.svg"])
async def test_behind_a_password_images_are_closed_unless_opened(
    make_client: ClientFactory, path: str
) -> None:
    async with session(await make_client(dashboard_password=PASSWORD)) as ask:
        assert (await ask("GET", path)).status == 401
        seen = await ask("GET", path, cookie_of(await ask.log_in()))
        assert (seen.status, seen.headers["Cache-Control"]) == (200, "private, max-age=60")
    opened = await make_client(dashboard_password=PASSWORD, public_badge=True)
    async with session(opened) as ask:
        seen = await ask("GET", path)
        assert (seen.status, seen.headers["Cache-Control"]) == (200, "public, max-age=60")
        assert (await ask("GET", f"{API}/realtime")).status == 401
