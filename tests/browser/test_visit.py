"""One visitor comes to the site, and every number there is shows exactly that."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.browser.conftest import NewVisitor, Visitor, click, settled
from tests.conftest import Client, Database, FakeClock, get_data, until

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

pytestmark = pytest.mark.browser

Clicks: TypeAlias = dict[str, list[tuple[int, int]]]

BACKEND = "/cv?theme=backend"
BY_TYPE = {
    "page_view": 2,
    "link_click": 3,
    "button_click": 4,
    "letter_generate": 3,
    "pdf_download": 2,
}
TOTAL = 14


@contextlib.asynccontextmanager
async def listening(client: Client) -> AsyncIterator[list[dict[str, Any]]]:
    """Lend the list of what a WebSocket client is told."""
    heard: list[dict[str, Any]] = []

    async def listen() -> None:
        async for message in socket:
            heard.append(json.loads(message.data))  # noqa: PERF401  # seen as they come

    async with client.ws_connect("/ws/analytics") as socket:
        task = asyncio.create_task(listen())
        await until(lambda: heard)
        yield heard
    await task


async def visit(visitor: Visitor) -> tuple[Page, Clicks]:
    """Read the CV and write letters; return the open page, and the clicks on each address."""
    page = await visitor.open(BACKEND)
    clicks: Clicks = {BACKEND: [], "/letters": []}
    clicks[BACKEND].append(await click(page, "theme-backend"))  # the one that is shown
    async with page.expect_download() as cv:
        clicks[BACKEND].append(await click(page, "cv-download"))
    assert (await cv.value).suggested_filename == "your-name-cv.pdf"
    clicks[BACKEND].append(await click(page, "nav-letters"))
    await page.wait_for_url("/letters")
    await page.locator("#live[data-state=live]").wait_for()
    for kind in ("motivation", "anti-motivation", "motivation"):
        clicks["/letters"].append(await click(page, f"letter-{kind}"))
    async with page.expect_download() as letter:
        clicks["/letters"].append(await click(page, "letter-download"))
    download = await letter.value
    assert download.suggested_filename == "letter-of-motivation.txt"
    text = (await download.path()).read_text(encoding="utf-8")
    assert text.startswith("Dear team,")
    assert text.endswith("Your Name\n")
    return page, clicks


async def metrics(client: Client) -> dict[tuple[str, ...], float]:
    """Scrape: name and label values to value, of those that are not zero."""
    text = await (await client.get("/metrics")).text()
    return {
        (sample.name.removeprefix("maicivy_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("maicivy_") and sample.value
    }


def told(heard: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return the events among the messages of the feed."""
    return [
        (
            message["type"],
            message["visitor_id"],
            message["timestamp"],
            message["page_url"],
            in_order(message["data"]),
        )
        for message in heard
        if "visitor_id" in message
    ]


def in_order(data: dict[str, Any]) -> str:
    return json.dumps(data, sort_keys=True)


def labelled(samples: dict[tuple[str, ...], float], name: str) -> dict[str, float]:
    return {labels[0]: value for (key, *labels), value in samples.items() if key == name}


async def test_one_visit_is_the_same_in_every_answer(
    site: Client, new_visitor: NewVisitor, database: Database, clock: FakeClock
) -> None:
    visitor = await new_visitor()
    async with listening(site) as heard:
        page, clicks = await visit(visitor)
        await settled(site, TOTAL)
        await until(lambda: len(told(heard)) >= TOTAL)
        samples = await metrics(site)
    sent = [event for event in visitor.events if event["event_type"].endswith("_click")]
    assert [
        (event["page_url"], (event["event_data"]["x"], event["event_data"]["y"])) for event in sent
    ] == [(url, point) for url, points in clicks.items() for point in points]
    assert len(visitor.events) == TOTAL - BY_TYPE["page_view"]

    first = heard[0]
    assert first["type"] == "initial_stats"
    assert (first["data"]["total_events"], first["data"]["current_visitors"]) == (0, 0)
    realtime = await get_data(site, "realtime")
    del realtime["timestamp"]
    assert realtime == {
        "current_visitors": 1,
        "unique_today": 1,
        "total_events": TOTAL,
        "letters_today": 3,
    }
    await shows(page, realtime)
    assert await get_data(site, "themes") == [{"theme": "backend", "views": 1}]
    await every_period_holds_the_visit(site, clock().date())
    await every_event_is_there_once(site, database, heard)
    await every_click_is_at_its_place(site, clicks)
    prometheus_knows_the_visit(samples)
    assert (visitor.problems, visitor.hosts) == ([], {f"{site.host}:{site.port}"})


async def every_period_holds_the_visit(site: Client, today: dt.date) -> None:
    year, week, _ = today.isocalendar()
    names = {"day": f"{today}", "week": f"{year}-W{week:02}", "month": f"{today:%Y-%m}"}
    for period, name in names.items():
        assert await get_data(site, f"stats?period={period}") == {
            "period": period,
            "period_key": name,
            "total_events": TOTAL,
            "letters_generated": 3,
            "unique_visitors": 1,
            "conversion_rate": 3.0,
        }
        letters = await get_data(site, f"letters?period={period}")
        history = letters.pop("history")
        assert letters == {
            "period": period,
            "total": 3,
            "motivation": 2,
            "anti_motivation": 1,
            "unique_visitors": 1,
            "conversion_rate": 3.0,
        }
        assert history[-1] == {"date": f"{today}", "count": 3}
        assert sum(day["count"] for day in history) == 3


async def every_event_is_there_once(
    site: Client, database: Database, heard: list[dict[str, Any]]
) -> None:
    """In the table, in the timeline and in the feed, the same."""
    rows = await database.fetch("SELECT event_type FROM analytics_events")
    assert collections.Counter(row["event_type"] for row in rows) == BY_TYPE
    rows = await database.fetch("SELECT visit_count, browser, os, device FROM visitors")
    assert [tuple(row) for row in rows] == [(1, "Chrome", "Linux", "desktop")]

    timeline = await get_data(site, "timeline?limit=100")
    assert collections.Counter(event["event_type"] for event in timeline) == BY_TYPE
    assert len({event["visitor_id"] for event in timeline}) == 1
    views = [event for event in timeline if event["event_type"] == "page_view"]
    assert [event["page_url"] for event in views] == ["/letters", BACKEND]
    assert json.loads(views[1]["event_data"]) == {"path": "/cv", "theme": "backend"}
    shown = (
        (
            event["event_type"],
            event["visitor_id"],
            event["created_at"],
            event["page_url"],
            in_order(json.loads(event["event_data"])),
        )
        for event in timeline
    )
    assert collections.Counter(told(heard)) == collections.Counter(shown)


async def every_click_is_at_its_place(site: Client, clicks: Clicks) -> None:
    everywhere = clicks[BACKEND] + clicks["/letters"]
    assert len(everywhere) == 7
    for query, expected in (
        ("", everywhere),
        ("?page_url=/cv", clicks[BACKEND]),
        ("?page_url=/cv%3Ftheme%3Dbackend", clicks[BACKEND]),
        ("?page_url=/letters", clicks["/letters"]),
        ("?page_url=/", []),
    ):
        points = await get_data(site, f"heatmap{query}")
        found = {(point["x"], point["y"]): point["count"] for point in points}
        assert found == collections.Counter(expected), query


def prometheus_knows_the_visit(samples: dict[tuple[str, ...], float]) -> None:
    assert labelled(samples, "events_total") == BY_TYPE
    assert labelled(samples, "page_views_total") == {"/cv": 1, "/letters": 1}
    assert labelled(samples, "letters_generated_total") == {"motivation": 2, "anti_motivation": 1}
    assert labelled(samples, "cv_theme_views") == {"backend": 1}
    assert labelled(samples, "events_dropped_total") == {}
    assert samples["visitors_total",] == samples["current_visitors",] == 1
    assert samples["conversion_rate",] == 3.0
    assert samples["websocket_connections",] == 2  # the test's and the footer's


async def shows(page: Page, numbers: dict[str, int]) -> None:
    """See the footer of `page` show `numbers`, which it is told of within a second."""

    async def shown() -> dict[str, int]:
        cells = await page.locator("#live[data-state=live] [data-number]").all()
        return {
            str(await cell.get_attribute("data-number")): int(
                (await cell.inner_text()).replace(",", "")
            )
            for cell in cells
        }

    async def right() -> bool:
        return await shown() == numbers

    await until(right, seconds=3)


async def test_another_theme_is_another_view_and_going_back_is_none(
    site: Client, new_visitor: NewVisitor
) -> None:
    visitor = await new_visitor()
    page = await visitor.open(BACKEND)
    await click(page, "theme-devops")
    await page.wait_for_url("/cv?theme=devops")
    assert (await page.title()).endswith("CV (devops)")
    await click(page, "theme-all")
    await page.wait_for_url("/cv")
    for expected in ("/cv?theme=devops", BACKEND):
        await page.go_back()
        await page.wait_for_url(expected)
    await settled(site, 4)
    assert sorted(row["theme"] for row in await get_data(site, "themes")) == ["backend", "devops"]
    timeline = await get_data(site, "timeline")
    assert sorted((event["event_type"], event["page_url"]) for event in timeline) == [
        ("cv_theme_change", "/cv?theme=devops"),
        ("link_click", BACKEND),
        ("link_click", "/cv?theme=devops"),
        ("page_view", BACKEND),
    ]
    async with visitor.context.expect_page() as opened:
        await page.locator('[data-track="theme-data"]').click(modifiers=["Control"])
    await (await opened.value).wait_for_url("/cv?theme=data")
    await settled(site, 6)
    assert {"theme": "data", "views": 1} in await get_data(site, "themes")
    assert page.url.endswith(BACKEND)
    assert visitor.problems == []


async def test_a_browser_is_a_visitor(
    site: Client, new_visitor: NewVisitor, database: Database
) -> None:
    first, second = await new_visitor(), await new_visitor()
    page = await first.open("/")
    await page.reload()
    await first.open("/cv")
    await settled(site, 3)
    assert (await get_data(site, "realtime"))["unique_today"] == 1
    await second.open("/")
    await settled(site, 4)
    realtime = await get_data(site, "realtime")
    assert (realtime["unique_today"], realtime["current_visitors"]) == (2, 2)
    rows = await database.fetch(
        "SELECT count(*) AS events FROM analytics_events GROUP BY visitor_id ORDER BY 1"
    )
    assert [row["events"] for row in rows] == [1, 3]
    stats = await get_data(site, "stats?period=day")
    assert (stats["unique_visitors"], stats["conversion_rate"]) == (2, 0.0)
    assert (await metrics(site))["visitors_total",] == 2


async def test_a_visitor_sees_the_other_one_come(site: Client, new_visitor: NewVisitor) -> None:
    first, second = await new_visitor(), await new_visitor()
    page = await first.open("/")
    numbers = {"current_visitors": 1, "unique_today": 1, "total_events": 1, "letters_today": 0}
    await shows(page, numbers)
    letters = await second.open("/letters")
    await click(letters, "letter-motivation")
    numbers = {"current_visitors": 2, "unique_today": 2, "total_events": 4, "letters_today": 1}
    await shows(page, numbers)
    await shows(letters, numbers)
    ledger = "Besides being opened, this page has told the server: button_click, letter_generate."
    assert await letters.locator("[data-ledger]").inner_text() == ledger


async def test_a_click_is_told_by_its_place_on_the_page(
    site: Client, new_visitor: NewVisitor
) -> None:
    visitor = await new_visitor(viewport={"width": 390, "height": 700})
    page = await visitor.open("/cv")
    async with page.expect_navigation(url="/docs"):
        x, y = await click(page, "footer-api")
    assert y > 700  # far below what the first screen shows
    await until(lambda: visitor.events)

    async def placed() -> bool:
        return bool(await get_data(site, "heatmap?page_url=/cv") == [{"x": x, "y": y, "count": 1}])

    await until(placed)

    page = await visitor.open("/letters")
    button = page.locator('[data-track="letter-motivation"]')
    box = await button.bounding_box()
    assert box is not None
    await button.press("Enter")  # the keyboard clicks in the middle
    await settled(site, 6)
    [point] = await get_data(site, "heatmap?page_url=/letters")
    assert abs(point["x"] - box["x"] - box["width"] / 2) <= 1
    assert abs(point["y"] - box["y"] - box["height"] / 2) <= 1


async def test_without_scripts_pages_can_be_read_and_are_counted(
    site: Client, new_visitor: NewVisitor
) -> None:
    visitor = await new_visitor(java_script_enabled=False)
    page = await visitor.context.new_page()
    await page.goto(BACKEND)
    await page.goto("/letters")
    await page.get_by_role("heading", name="Letter of anti-motivation").wait_for()
    await settled(site, 2)
    assert await get_data(site, "themes") == [{"theme": "backend", "views": 1}]
    assert (await get_data(site, "realtime"))["unique_today"] == 1
