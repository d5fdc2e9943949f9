"""A dashboard in a browser, and the traffic that it shows."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conftest import API, get_data, until

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

    from tests.browser.conftest import Visitor
    from tests.conftest import Client

AXE = (Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0"
AGENTS = (
    "Mozilla/5.0 (X11; Linux) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {APPLE} Safari/605.1.15",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) {APPLE} Mobile/15E148 Safari/604.1",
)
READ_FAULTS = """axe.run(document, {iframes: false}).then((found) => found.violations.map(
  (one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`))"""


def events(number: int) -> list[dict[str, Any]]:
    """Return what visitor `number` does: pages, clicks, a letter, an event of the site's own."""
    width = 390 if number % 4 == 3 else 1280
    referrer = ("https://www.google.com/", "https://news.ycombinator.com/", "", "")[number % 4]
    campaign = "&utm_source=newsletter" if number % 4 == 3 else ""
    visit: list[dict[str, Any]] = [
        {
            "event_type": "page_view",
            "page_url": f"/cv?theme=backend{campaign}",
            "referrer": referrer,
            "event_data": {"width": width},
        },
        {
            "event_type": "button_click",
            "page_url": "/cv",
            "event_data": {"x": 100 + number, "y": 120, "width": width, "button": "contact"},
        },
    ]
    if number % 2 == 0:
        kind = "motivation" if number % 4 else "anti_motivation"
        visit += [
            {"event_type": "page_view", "page_url": "/letters", "event_data": {"width": width}},
            {
                "event_type": "letter_generate",
                "page_url": "/letters",
                "event_data": {"letter_type": kind},
            },
            {"event_type": "signup", "page_url": "/letters", "event_data": {"plan": "free"}},
        ]
    return visit


async def browse(client: Client, visitors: int = 12) -> None:
    """Let `visitors` without cookies come, each with a User-Agent of its own."""
    for number in range(visitors):
        agent = AGENTS[number % len(AGENTS)].replace("537.36", f"537.{number}")
        agent = agent.replace("605.1.15", f"605.1.{number}").replace("144.0", f"14{number}.0")
        headers = {"User-Agent": agent, "Cookie": "", "Sec-Fetch-Site": "cross-site"}
        response = await client.post(
            f"{API}/events", json={"events": events(number)}, headers=headers
        )
        assert response.status == 201, await response.text()


async def open_dashboard(visitor: Visitor, query: str = "") -> Page:
    """Open the dashboard in a new tab; it is live and every card has its answer."""
    page = await visitor.context.new_page()
    await page.goto(f"/dashboard{query}")
    await page.locator("#live[data-state=live]").wait_for()
    await answered(page)
    return page


async def answered(page: Page) -> None:
    """Wait until nothing is asked any more."""
    busy = page.locator("[data-body][aria-busy=true]")

    async def calm() -> bool:
        return await busy.count() == 0

    await until(calm)
    assert await page.locator(".failed").all_inner_texts() == []


async def number(page: Page, name: str) -> str:
    """Return what the tile `name` says."""
    return await page.locator(f"#tiles [data-number={name}]").inner_text()


def row(page: Page, card: str, name: str) -> Locator:
    """Return the row `name` of a list."""
    names = page.locator(".name", has_text=re.compile(f"^{re.escape(name)}$"))
    return page.locator(f"#{card} tbody tr", has=names)


async def faults(page: Page) -> list[str]:
    """Return what axe-core finds to complain of."""
    await page.evaluate(AXE)
    found: list[str] = await page.evaluate(READ_FAULTS)
    return found


async def summary(client: Client, query: str = "period=day") -> Any:
    return await get_data(client, f"sessions/summary?{query}")


@contextlib.contextmanager
def expected_outage(visitor: Visitor) -> Any:
    """Forget what the browser says of a server that is away on purpose."""
    before = len(visitor.problems)
    yield
    del visitor.problems[before:]
