"""Every page, on a desk by day and on a phone by night: whole, quiet and alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.config import Config
from tests.browser.conftest import there_are
from tests.conftest import Client, until

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.conftest import NewVisitor

pytestmark = pytest.mark.browser

SEED = Path(__file__).parents[1] / "contract" / "seed.md"
SCREENS: tuple[dict[str, Any], ...] = (
    {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "has_touch": True},
)
SITE_PAGES = ("/", "/cv?theme=backend", "/letters")


async def look(page: Page, scheme: str) -> None:
    """See that nothing hangs over the edge and that the colours are those asked for."""
    width, seen = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width == seen, page.url
    paper = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    shade = sum(int(part) for part in re.findall(r"\d+", paper)[:3])
    assert (shade < 150) == (scheme == "dark"), (page.url, paper)


async def test_the_site_is_whole_and_calls_nobody_else(
    site: Client, new_visitor: NewVisitor
) -> None:
    for screen in SCREENS:
        visitor = await new_visitor(**screen)
        for path in SITE_PAGES:
            page = await visitor.open(path)
            await look(page, screen["color_scheme"])
            assert await page.locator("h1:visible").count() == 1
            await there_are(4, page.locator("#live dd:text-matches('^\\\\d')"))
            await page.close()
        assert visitor.problems == []
        assert visitor.hosts == {f"{site.host}:{site.port}"}


async def test_a_page_runs_what_lies_beside_it_and_nothing_else(
    site: Client, new_visitor: NewVisitor
) -> None:
    """The policy lets the site's scripts and its live feed through, and stops what is injected."""
    visitor = await new_visitor()
    said: list[str] = []
    visitor.context.on("console", lambda message: said.append(message.text))
    for path in SITE_PAGES:
        page = await visitor.context.new_page()
        answer = await page.goto(path)
        assert answer is not None
        policy = (await answer.all_headers())["content-security-policy"]
        assert policy == Config().content_security_policy
        assert "unsafe" not in policy
        # The numbers come over ws://, which 'self' has to cover.
        await page.locator("#live[data-state=live]").wait_for()
        await page.locator("#live [data-number]").first.wait_for()
        assert said == []
    await page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.injected = true";
          document.body.append(script);
        }"""
    )
    assert await page.evaluate("window.injected") is None
    refused = await page.evaluate(
        f"""() => new Promise((done) => {{
          document.addEventListener("securitypolicyviolation", (one) => done(one.blockedURI));
          new WebSocket("ws://localhost:{site.port}/ws/analytics");
        }})"""
    )
    assert refused.startswith("ws://localhost:")
    assert [text for text in said if "Content Security Policy" not in text] == []


async def test_the_api_page_shows_every_operation(site: Client, new_visitor: NewVisitor) -> None:
    paths = (await (await site.get("/openapi.json")).json())["paths"]
    operations = [(path, method) for path, methods in paths.items() for method in methods]
    assert ("/api/v1/analytics/event", "post") in operations
    for screen in SCREENS:
        visitor = await new_visitor(**screen)
        page = await visitor.context.new_page()
        answer = await page.goto("/docs")
        assert answer is not None
        policy = (await answer.all_headers())["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        await page.locator(".opblock").first.wait_for()
        await there_are(len(operations), page.locator(".opblock"))
        for path, method in operations:
            row = page.locator(f".opblock-{method}", has=page.locator(f'[data-path="{path}"]'))
            assert await row.locator(".opblock-summary-path").is_visible(), path
            assert (await row.inner_text()).replace("\u200b", "").count(path) == 1
        assert await page.locator(".errors-wrapper").count() == 0
        await look(page, screen["color_scheme"])
        await try_out(page)
        await look(page, screen["color_scheme"])
        assert visitor.problems == []
        assert visitor.hosts == {f"{site.host}:{site.port}"}


async def try_out(page: Page) -> None:
    """Send one of the requests that the API page offers to send."""
    row = page.locator(".opblock", has=page.locator('[data-path="/api/v1/analytics/realtime"]'))
    await row.locator(".opblock-summary-control").click()
    await row.get_by_role("button", name="Try it out").click()
    await row.get_by_role("button", name="Execute").click()
    live = row.locator(".live-responses-table tbody")
    await live.wait_for()
    assert (await live.locator(".response-col_status").inner_text()).startswith("200")
    assert '"current_visitors"' in await live.inner_text()


def seed_example() -> tuple[str, str]:
    """Return the seed's WebSocket example: what connects, and the refresh asked for by hand."""
    section = SEED.read_text(encoding="utf-8").partition("### WebSocket - Connexion")[2]
    script = section.partition("```javascript\n")[2].partition("```")[0]
    connect, mark, refresh = script.partition("// Demander refresh manuel\n")
    assert mark
    return connect, refresh


async def test_the_seeds_websocket_example_works_in_a_page(
    site: Client, new_visitor: NewVisitor
) -> None:
    visitor = await new_visitor()
    page = await visitor.open("/")
    said: list[list[Any]] = []

    def hear(values: list[Any]) -> None:
        said.append(values)

    await page.expose_function("hear", hear)
    connect, refresh = seed_example()
    connect = connect.replace("localhost:8080", f"{site.host}:{site.port}")
    await page.evaluate(
        f"""() => {{
          const console = {{ log: (...values) => hear(values) }};
          const updateDashboard = (numbers) => hear(["dashboard", numbers]);
          {connect}
          window.refresh = () => {{ {refresh} }};
        }}"""
    )
    await until(lambda: len(said) >= 2)
    assert said[0] == ["Connected to analytics WebSocket"]
    label, first = said[1]
    assert (label, first["type"]) == ("Analytics update:", "initial_stats")

    def updates(kind: str) -> list[Any]:
        return [values[1] for values in said if values[1:] and values[1].get("type") == kind]

    await page.evaluate("refresh()")
    await until(lambda: len(updates("initial_stats")) == 2)
    await until(lambda: [values for values in said if values[0] == "dashboard"])
    [heartbeat] = updates("heartbeat")
    assert said[-1] == ["dashboard", heartbeat["data"]]
    assert heartbeat["data"].keys() == first["data"].keys()
    assert json.dumps(heartbeat["data"]["total_events"]) == "1"
    assert visitor.problems == []
