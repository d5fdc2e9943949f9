"""Every number on the screen, beside the API's, Prometheus' and a count by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.browser.dashboard import browse, number, open_dashboard, summary
from tests.conftest import Client, Database, get_data

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.conftest import NewVisitor

pytestmark = pytest.mark.browser

VISITORS = 24
BY_HAND = """
    SELECT count(DISTINCT visitor_id) AS visitors, count(*) AS events,
           count(*) FILTER (WHERE event_type = 'page_view') AS page_views,
           count(*) FILTER (WHERE event_type = 'letter_generate') AS letters
    FROM events"""
PAGES = """
    SELECT split_part(page_url, '?', 1) AS name, count(DISTINCT visitor_id)::text AS visitors,
           count(*)::text AS number
    FROM events WHERE event_type = 'page_view' GROUP BY 1"""
EVENTS = """
    SELECT event_type AS name, count(DISTINCT visitor_id)::text AS visitors,
           count(*)::text AS number
    FROM events GROUP BY 1"""
THEMES = """
    SELECT 'backend' AS name, count(DISTINCT visitor_id)::text AS visitors, count(*)::text AS number
    FROM events WHERE event_type = 'page_view' AND page_url LIKE '%theme=backend%'"""
BROWSERS = "SELECT browser AS name, count(*)::text AS visitors FROM visitors GROUP BY 1"
SYSTEMS = "SELECT os AS name, count(*)::text AS visitors FROM visitors GROUP BY 1"
KINDS = """
    SELECT event_data ->> 'letter_type' AS name, count(*)::text AS number
    FROM events WHERE event_type = 'letter_generate' GROUP BY 1"""


async def cells(page: Page, card: str) -> dict[str, list[str]]:
    """Return the numbers of a list by the name of their row."""
    found: list[list[str]] = await page.locator(f"#{card} tbody tr").evaluate_all(
        "rows => rows.map((row) => [row.querySelector('.name').textContent,"
        " ...[...row.querySelectorAll('td')].map((cell) => cell.textContent)])"
    )
    return {name: numbers for name, *numbers in found}


async def counted(database: Database, statement: str) -> dict[str, list[str]]:
    rows = await database.fetch(statement)
    return {row["name"]: list(row.values())[1:] for row in rows}


async def scraped(client: Client) -> dict[tuple[str, ...], float]:
    text = await (await client.get("/metrics")).text()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_every_number_is_the_one_that_was_counted(
    site: Client, new_visitor: NewVisitor, database: Database
) -> None:
    await browse(site, VISITORS)
    page = await open_dashboard(await new_visitor(locale="en-GB"))
    by_hand: dict[str, Any] = dict(await database.fetchrow(BY_HAND) or {})
    assert by_hand["visitors"] == VISITORS
    api, metrics = await summary(site), await scraped(site)
    for name, value in by_hand.items():
        assert await number(page, name) == str(value) == str(api[name]), name
    assert await number(page, "visits") == str(VISITORS)
    for name in ("page_view", "letter_generate", "button_click", "signup"):
        [_, count] = (await cells(page, "events"))[name]
        assert metrics["maicivy_events_total", name] == float(count)
    rate = f"{100 * by_hand['letters'] / by_hand['visitors']:.1f}%"
    assert await number(page, "conversion_rate") == rate

    pages = {name: numbers[:2] for name, numbers in (await cells(page, "pages")).items()}
    assert pages == await counted(database, PAGES)
    assert await cells(page, "events") == await counted(database, EVENTS)
    assert await cells(page, "themes") == await counted(database, THEMES)
    for statement, tab in ((BROWSERS, "Browser"), (SYSTEMS, "System")):
        await page.locator("#devices").get_by_role("tab", name=tab).click()
        await page.locator("#devices thead th", has_text=tab).wait_for()
        shown = {name: numbers[:1] for name, numbers in (await cells(page, "devices")).items()}
        assert shown == await counted(database, statement)

    kinds = {
        name.lower().replace("-", "_"): n for name, n in (await cells(page, "letters")).items()
    }
    for name, numbers in (await counted(database, KINDS)).items():
        assert kinds[name] == numbers
        assert metrics["maicivy_letters_generated_total", name] == float(numbers[0])
    realtime = await get_data(site, "realtime")
    assert realtime["total_events"] == by_hand["events"]
    # A sketch: two visitors of so few may share one of its 16,384 registers.
    assert realtime["unique_today"] == pytest.approx(by_hand["visitors"], rel=0.025, abs=1)
