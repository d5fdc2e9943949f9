"""The dashboard, used: filters, dates, the address, what moves by itself, and an outage."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import SITE, Visitor, chromium, there_are
from tests.browser.dashboard import (
    answered,
    browse,
    expected_outage,
    number,
    open_dashboard,
    row,
    summary,
)
from tests.conftest import BROWSER, Client, FakeClock, get_data, send_event, until
from tests.integration.test_cli import Server

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser, Page

    from tests.browser.conftest import NewVisitor
    from tests.conftest import ClientFactory

pytestmark = pytest.mark.browser

CROSS = "\N{MULTIPLICATION SIGN}"
INKED = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((value, at) => at % 4 === 3 && value > 0).length;
}"""


async def shows(page: Page, name: str, value: object) -> None:
    tile = page.locator(f"#tiles [data-number={name}]", has_text=str(value))
    await tile.wait_for()
    assert await number(page, name) == str(value)


async def test_a_click_on_a_row_narrows_everything(site: Client, new_visitor: NewVisitor) -> None:
    await browse(site)
    visitor = await new_visitor()
    page = await open_dashboard(visitor)
    await row(page, "pages", "/letters").locator("button").click()
    await shows(page, "visitors", (await summary(site, "period=day&path=/letters"))["visitors"])
    await shows(page, "visitors", 6)
    await row(page, "devices", "Chrome").locator("button").click()
    narrowed = await summary(site, "period=day&path=/letters&browser=Chrome")
    assert 0 < narrowed["visitors"] < 6
    await shows(page, "visitors", narrowed["visitors"])
    assert page.url.endswith("/dashboard?path=/letters&browser=Chrome")
    assert await page.locator(".chip").all_inner_texts() == [
        f"Page /letters\n{CROSS}",
        f"Browser Chrome\n{CROSS}",
    ]
    # A link shows the same view.
    again = await open_dashboard(visitor, "?path=/letters&browser=Chrome")
    assert await number(again, "visitors") == str(narrowed["visitors"])
    await page.go_back()
    await shows(page, "visitors", 6)
    await page.go_back()
    await shows(page, "visitors", 12)
    assert await page.locator("#chips").is_hidden()
    await page.go_forward()
    await shows(page, "visitors", 6)
    await page.get_by_role("button", name="Remove the filter Page: /letters").click()
    await shows(page, "visitors", 12)
    assert visitor.problems == []


async def test_days_are_chosen_by_name_and_by_date(
    site: Client, new_visitor: NewVisitor, clock: FakeClock
) -> None:
    today = clock().date()
    await browse(site)
    visitor = await new_visitor()
    page = await open_dashboard(visitor)
    await page.locator("#period").select_option("yesterday")
    await shows(page, "visitors", 0)
    await page.locator("#period").select_option("7d")
    await shows(page, "visitors", 12)
    await page.locator("#period").select_option("custom")
    week_ago = today - dt.timedelta(days=7)
    await page.locator("#from").fill(str(week_ago))
    await answered(page)
    assert f"period=custom&from={week_ago}&to={today}" in page.url
    await page.locator("#to").fill(str(today - dt.timedelta(days=1)))
    await shows(page, "visitors", 0)
    await page.go_back()
    await shows(page, "visitors", 12)
    assert await page.locator("#to").input_value() == str(today)
    await page.get_by_text("Show as a table").click()
    await there_are(8, page.locator("#chart tbody tr"))
    assert visitor.problems == []


async def test_lists_have_tabs_and_events_have_properties(
    site: Client, new_visitor: NewVisitor
) -> None:
    await browse(site)
    visitor = await new_visitor()
    page = await open_dashboard(visitor)
    await page.locator("#pages").get_by_role("tab", name="Entries").click()
    await there_are(0, row(page, "pages", "/letters"))
    assert await row(page, "pages", "/cv").locator("td").first.inner_text() == "12"
    await page.locator("#sources").get_by_role("tab", name="UTM source").click()
    await row(page, "sources", "newsletter").wait_for()
    assert page.url.endswith("?pages=entries&sources=utm_source")
    await page.get_by_role("button", name="Properties of signup").click()
    free = page.locator("#events .detail tbody tr", has_text="free")
    await free.wait_for()
    assert await free.locator("td").all_inner_texts() == ["6", "6"]
    letters = await get_data(site, "letters?period=day")
    assert await row(page, "letters", "Motivation").locator("td").inner_text() == str(
        letters["motivation"]
    )
    async with page.expect_download() as file:
        await page.locator("#pages .csv").click()
    text = (await (await file.value).path()).read_text(encoding="utf-8")
    assert text.splitlines()[0].startswith("path,visitors")
    assert visitor.problems == []


async def test_numbers_move_by_themselves_when_somebody_comes(
    site: Client, new_visitor: NewVisitor
) -> None:
    visitor, reader = await new_visitor(), await new_visitor()
    page = await open_dashboard(reader)
    for views, path in ((1, "/cv"), (2, "/letters")):
        await asyncio.sleep(1.2)
        await visitor.open(path)
        await shows(page, "page_views", views)
        await page.locator("#feed li:first-child", has_text=path).wait_for()
    await shows(page, "visitors", 1)
    await page.locator("#live[data-visitors='1']").wait_for()
    assert reader.problems == visitor.problems == []


async def test_the_feed_is_bounded_and_can_be_held(site: Client, new_visitor: NewVisitor) -> None:
    reader = await new_visitor()
    page = await open_dashboard(reader)
    await send_event(site, "hello", page_url="/one")
    await page.locator("#feed li", has_text="hello").wait_for()
    await page.get_by_role("button", name="Pause").click()
    await send_event(site, "goodbye", page_url="/two")
    await page.get_by_role("button", name="Resume (1)").wait_for()
    assert await page.locator("#feed li").count() == 1
    await page.get_by_role("button", name="Resume").click()
    await page.locator("#feed li", has_text="goodbye").wait_for()
    for _ in range(60):
        await send_event(site, "many")
    await until(lambda: page.locator("#feed li").count())
    await page.locator("#feed li", has_text="goodbye").wait_for(state="detached")
    assert await page.locator("#feed li").count() == 50


async def test_a_burst_asks_one_question_at_a_time(site: Client, new_visitor: NewVisitor) -> None:
    reader = await new_visitor()
    page = await open_dashboard(reader)
    open_now, most, asked = 0, 0, []

    def begun(request: Any) -> None:
        nonlocal open_now, most
        if "/api/" in request.url:
            open_now += 1
            most = max(most, open_now)
            asked.append((time.monotonic(), request.url))

    def over(request: Any) -> None:
        nonlocal open_now
        open_now -= "/api/" in request.url

    page.on("request", begun)
    page.on("requestfinished", over)
    page.on("requestfailed", over)
    for _ in range(40):
        await send_event(site, "many")
        await asyncio.sleep(0.05)
    await shows(page, "events", 40)
    assert most == 1
    times = [at for at, url in asked if "sessions/summary" in url]
    assert all(later - at > 0.9 for at, later in itertools.pairwise(times))


async def test_a_hidden_tab_asks_nothing(site: Client, new_visitor: NewVisitor) -> None:
    page = await open_dashboard(await new_visitor())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    look = """hidden => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    await page.evaluate(look, arg=True)
    await send_event(site, "unseen", page_url="/<b>bold</b>")
    # What a visitor sent is text, whatever it looks like.
    await page.locator("#feed li", has_text="unseen /<b>bold</b>").wait_for()
    await asyncio.sleep(1.5)
    assert asked == []
    await page.evaluate(look, arg=False)
    await shows(page, "events", 1)


async def test_without_a_place_on_the_feed_it_asks_by_itself(
    browser: Browser, make_client: ClientFactory
) -> None:
    client = await make_client(site_dir=SITE, ws_max_connections=1)
    async with client.ws_connect("/ws/analytics"):
        await browse(client, 3)
        visitor = await Visitor.start(browser, client)
        with expected_outage(visitor):
            page = await visitor.context.new_page()
            await page.goto("/dashboard")
            await page.locator("#live[data-state=polling]").wait_for()
            assert "asked for every 15 s" in await page.locator("#notice").inner_text()
            await shows(page, "visitors", 3)
            assert await page.locator("#live-number").inner_text() == "3"
    # The place is free now.
    await page.locator("#live[data-state=live]").wait_for(timeout=40_000)
    await page.locator("#notice").wait_for(state="hidden")


async def test_the_click_map_shows_the_page_without_visiting_it(
    site: Client, new_visitor: NewVisitor
) -> None:
    await browse(site)
    visitor = await new_visitor()
    page = await open_dashboard(visitor)
    before = await summary(site)
    await page.locator("#heatmap").scroll_into_view_if_needed()
    canvas = page.locator("#heatmap canvas")
    await canvas.wait_for()
    assert await canvas.get_attribute("aria-label") == "Click map of /cv, 12 clicks"
    frame = page.frame_locator("#heatmap iframe")
    await frame.locator("h1").first.wait_for()
    await until(lambda: canvas.evaluate(INKED))
    all_inked = await canvas.evaluate(INKED)
    await page.locator("#heat-width").select_option("phone")
    await page.locator("#heatmap strong", has_text="3 clicks").wait_for()
    assert "heat_width=phone" in page.url
    await page.locator("#heat-hours").select_option("1")
    await page.locator("#heatmap strong", has_text="3 clicks").wait_for()
    phone = page.locator("#heatmap canvas")
    await until(lambda: phone.evaluate(INKED))
    assert await phone.evaluate(INKED) != all_inked
    await page.locator("#heat-page").select_option("/letters")
    await page.locator("#heatmap", has_text="No clicks on this page").wait_for()
    assert await summary(site) == before
    assert visitor.problems == []


async def test_it_says_that_it_is_offline_and_catches_up(tmp_path: Path) -> None:
    server = await asyncio.to_thread(
        Server, tmp_path / "data", MAICIVY_SITE_DIR=str(SITE), MAICIVY_EVENT_RATE_LIMIT="0"
    )
    try:
        async with chromium(f"--user-agent={BROWSER}") as browser:
            context = await browser.new_context(base_url=f"http://127.0.0.1:{server.port}")
            visitor = Visitor(context)
            page = await open_dashboard(visitor)
            assert visitor.problems == []
            with expected_outage(visitor):
                await asyncio.to_thread(server.stop)
                await page.locator("#live[data-state=offline]").wait_for()
                assert "These numbers are from" in await page.locator("#notice").inner_text()
                await asyncio.to_thread(server.start)
                await asyncio.to_thread(server.post)
                await page.locator("#live[data-state=live]").wait_for(timeout=40_000)
            await page.locator("#notice").wait_for(state="hidden")
            await shows(page, "events", 1)
            await page.locator("#feed li").first.wait_for()
            await answered(page)
            assert visitor.problems == []
            await context.close()
    finally:
        await asyncio.to_thread(server.stop)
