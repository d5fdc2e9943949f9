"""What a browser is given, what it keeps, and which browsers are not counted."""

from __future__ import annotations

import asyncio
import functools
import time
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.web import keys
from tests.browser.conftest import SETTLE_SECONDS, Visitor, chromium, click, settled
from tests.conftest import Client, Database, FakeClock, get_data, until

if TYPE_CHECKING:
    from tests.browser.conftest import NewVisitor

pytestmark = pytest.mark.browser

DAY_SECONDS = 86_400


async def assert_nothing_counted(site: Client, database: Database) -> None:
    await asyncio.sleep(SETTLE_SECONDS)
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 0
    assert await database.fetchval("SELECT count(*) FROM visitors") == 0
    realtime = await get_data(site, "realtime")
    assert (realtime["current_visitors"], realtime["unique_today"]) == (0, 0)


def has_sent(visitor: Visitor, count: int) -> bool:
    return len(visitor.events) == count


def dropped(site: Client, reason: str) -> float:
    registry = site.app[keys.METRICS].registry
    return registry.get_sample_value("maicivy_events_dropped_total", {"reason": reason}) or 0.0


async def test_the_cookie_lasts_thirty_days_from_its_first_issue(
    site: Client, new_visitor: NewVisitor, clock: FakeClock, database: Database
) -> None:
    visitor = await new_visitor()
    page = await visitor.open("/")
    cookie = await visitor.cookie()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
    assert (cookie["secure"], cookie["domain"]) == (False, site.host)
    assert cookie["expires"] == pytest.approx(time.time() + 30 * DAY_SECONDS, abs=60)
    kept = await page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]")
    assert kept == ["", 0, 0]

    clock.advance(days=10)
    await site.app[keys.ADDRESSES].rotate(clock().date())
    answer = await page.reload()
    assert answer is not None
    assert "set-cookie" not in await answer.all_headers()
    await click(page, "nav-letters")
    await page.wait_for_url("/letters")
    assert await visitor.cookie() == cookie
    await settled(site, 3)  # today; the first page view was ten days ago
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 4
    assert await database.fetchval("SELECT count(*) FROM visitors") == 1
    assert await database.fetchval("SELECT visit_count FROM visitors") == 2

    forged: Any = {**cookie, "value": "A" * len(cookie["value"])}
    await visitor.context.add_cookies([forged])
    await visitor.open("/")
    replaced = await visitor.cookie()
    assert replaced["value"] not in {cookie["value"], forged["value"]}
    assert replaced["httpOnly"]
    assert visitor.problems == []


async def test_a_browser_that_asks_not_to_be_tracked_is_not(
    site: Client, new_visitor: NewVisitor, database: Database
) -> None:
    for header in ("Sec-GPC", "DNT"):
        visitor = await new_visitor(extra_http_headers={header: "1"})
        page = await visitor.open("/letters")
        await click(page, "letter-motivation")
        await until(functools.partial(has_sent, visitor, 2))
        await page.get_by_text("Dear team,").wait_for()
        ledger = "Besides being opened, this page has told the server nothing yet."
        assert await page.locator("[data-ledger]").inner_text() == ledger
        assert await visitor.cookie() is None
        assert visitor.problems == []
    await assert_nothing_counted(site, database)
    assert dropped(site, "opt_out") == 6


async def test_a_page_that_can_see_the_wish_sends_nothing_at_all(
    site: Client, new_visitor: NewVisitor, database: Database
) -> None:
    visitor = await new_visitor(extra_http_headers={"Sec-GPC": "1"})
    await visitor.context.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})"
    )
    page = await visitor.open("/letters")
    await click(page, "letter-motivation")
    await page.get_by_text("Dear team,").wait_for()
    assert "asks not to be tracked" in await page.locator("[data-ledger]").inner_text()
    await assert_nothing_counted(site, database)
    assert visitor.events == []


async def test_a_headless_browser_as_it_comes_is_a_bot(site: Client, database: Database) -> None:
    async with chromium() as browser:
        visitor = await Visitor.start(browser, site)
        page = await visitor.open("/letters")
        assert "HeadlessChrome" in await page.evaluate("navigator.userAgent")
        await click(page, "letter-motivation")
        await until(functools.partial(has_sent, visitor, 2))
        await assert_nothing_counted(site, database)
        assert await visitor.cookie() is None
    assert dropped(site, "bot") == 3
