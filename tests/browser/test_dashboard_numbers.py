"""Every number on the screen, beside the API's, Prometheus' and a count by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.browser.dashboard import answered, browse, number, open_dashboard, summary
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
DEVICES = """
    SELECT CASE device WHEN 'desktop' THEN 'Desktop' WHEN 'mobile' THEN 'Phone' END AS name,
           count(*)::text AS visitors
    FROM visitors GROUP BY 1"""
SCREENS = """
    SELECT CASE event_data ->> 'width' WHEN '390' THEN 'Under 576 px' ELSE '992 to 1,439 px' END
               AS name,
           count(DISTINCT visitor_id)::text AS visitors
    FROM events WHERE event_data ? 'width' GROUP BY 1"""
SOURCES = """
    SELECT CASE WHEN page_url LIKE '%utm_source=newsletter' THEN 'newsletter'
                WHEN referrer LIKE 'https://www.google.com%' THEN 'Google'
                WHEN referrer LIKE 'https://news.ycombinator.com%' THEN 'Hacker News'
                ELSE 'Direct / none' END AS name,
           count(DISTINCT visitor_id)::text AS visitors
    FROM events WHERE page_url LIKE '/cv?%' GROUP BY 1"""
CAMPAIGNS = """
    SELECT 'newsletter' AS name, count(DISTINCT visitor_id)::text AS visitors
    FROM events WHERE page_url LIKE '%utm_source=newsletter'"""
ENTRIES = """
    SELECT '/cv' AS name, count(DISTINCT visitor_id)::text AS visitors FROM events"""
EXITS = """
    SELECT CASE WHEN visitor_id IN (
               SELECT visitor_id FROM events WHERE page_url = '/letters'
           ) THEN '/letters' ELSE '/cv' END AS name, count(DISTINCT visitor_id)::text AS visitors
    FROM events GROUP BY 1"""
PLANS = """
    SELECT event_data ->> 'plan' AS name, count(DISTINCT visitor_id)::text AS visitors,
           count(*)::text AS number
    FROM events WHERE event_type = 'signup' GROUP BY 1"""
TABS = (
    ("devices", "Browser", BROWSERS),
    ("devices", "System", SYSTEMS),
    ("devices", "Device", DEVICES),
    ("devices", "Screen", SCREENS),
    ("sources", "UTM source", CAMPAIGNS),
    ("sources", "Source", SOURCES),
    ("pages", "Entries", ENTRIES),
    ("pages", "Exits", EXITS),
)
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
    for card, tab, statement in TABS:
        await page.locator(f"#{card}").get_by_role("tab", name=tab, exact=True).click()
        await answered(page)
        shown = {name: numbers[:1] for name, numbers in (await cells(page, card)).items()}
        assert shown == await counted(database, statement), tab
    await page.get_by_role("button", name="Properties of signup").click()
    await page.locator("#events .detail table").wait_for()
    shown = await cells(page, "events .detail")
    assert shown == await counted(database, PLANS)

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
