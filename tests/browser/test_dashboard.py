"""The dashboard, looked at: whole, quiet and usable by everybody, on every screen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.web.dashboard import POLICY
from tests.browser.conftest import settled
from tests.browser.dashboard import answered, browse, faults, number, open_dashboard, row, summary
from tests.conftest import Client, until

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.browser.conftest import NewVisitor

pytestmark = pytest.mark.browser

DESK = {"viewport": {"width": 1440, "height": 900}}
PHONE = {"viewport": {"width": 360, "height": 780}, "has_touch": True}
WIDE = {"viewport": {"width": 2560, "height": 1300}}
TABLET = {"viewport": {"width": 820, "height": 1100}}
NOTHING = "\N{EN DASH}"
CARDS = ("pages", "sources", "devices", "events", "themes", "letters")
SHIFTS = """new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) if (!one.hadRecentInput) sum += one.value;
  }).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 300);
})"""


async def hangs_over(page: Page) -> bool:
    width, seen = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return bool(width > seen)


async def test_the_first_screen_is_whole_quiet_and_alone(
    site: Client, new_visitor: NewVisitor
) -> None:
    await browse(site)
    visitor = await new_visitor(**DESK)
    page = await visitor.context.new_page()
    answer = await page.goto("/dashboard")
    assert answer is not None
    assert (await answer.all_headers())["content-security-policy"] == POLICY
    await page.locator("#live[data-state=live]").wait_for()
    await answered(page)
    for card in CARDS:
        assert await page.locator(f"#{card} tbody tr").count() > 0, card
    assert await page.locator("#chart canvas").count() == 1
    assert await page.locator("#feed li").count() == 30
    await page.locator("#heatmap").scroll_into_view_if_needed()
    await page.locator("#heatmap canvas").wait_for()
    assert await page.locator("#welcome").is_hidden()
    assert await page.evaluate(SHIFTS) < 0.1
    injected = "const one = document.createElement('script'); one.textContent = 'window.bad = 1';"
    quiet = list(visitor.problems)
    await page.evaluate(f"() => {{ {injected} document.body.append(one); }}")
    assert await page.evaluate("window.bad") is None
    assert quiet == []
    assert visitor.hosts == {f"{site.host}:{site.port}"}
    assert await visitor.cookie() is None  # whoever looks at the numbers is not counted
    await settled(site, (await summary(site))["events"])


async def test_tiles_say_what_the_api_says(site: Client, new_visitor: NewVisitor) -> None:
    await browse(site)
    visitor = await new_visitor(locale="en-GB")
    page = await open_dashboard(visitor)
    data = await summary(site)
    assert data["visitors"] == 12
    for name in ("visitors", "visits", "page_views", "events", "letters"):
        assert await number(page, name) == f"{data[name]:,}"
    assert await number(page, "conversion_rate") == f"{100 * data['conversion_rate']:.1f}%"
    assert await number(page, "bounce_rate") == f"{100 * data['bounce_rate']:.1f}%"
    assert await row(page, "pages", "/cv").locator("td").all_inner_texts() == ["12", "12", NOTHING]
    await page.get_by_text("Show as a table").click()
    await page.locator("#chart tbody tr").first.wait_for()
    values = await page.locator("#chart tbody td:nth-child(2)").all_inner_texts()
    assert sum(map(int, values)) == 12
    assert visitor.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nobody_is_shut_out(site: Client, new_visitor: NewVisitor, scheme: Any) -> None:
    visitor = await new_visitor(**DESK, color_scheme=scheme)
    page = await open_dashboard(visitor)
    assert await page.locator("#welcome").is_visible()
    assert await faults(page) == []
    await browse(site)
    page = await open_dashboard(visitor, "?path=/cv")
    await page.locator("#events .opener").first.click()
    await page.get_by_text("Show as a table").click()
    await answered(page)
    assert await faults(page) == []
    paper = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    shade = sum(int(part) for part in re.findall(r"\d+", paper)[:3])
    assert (shade < 150) == (scheme == "dark")


async def test_nothing_hangs_over_on_any_screen(site: Client, new_visitor: NewVisitor) -> None:
    for seeded in (False, True):
        for screen in (PHONE, TABLET, WIDE):
            visitor = await new_visitor(**screen)
            page = await open_dashboard(
                visitor, "?lang=fr&period=custom&from=2026-01-01&to=2026-01-02"
            )
            assert not await hangs_over(page)
            page = await open_dashboard(visitor, "?source=Google&device=desktop&os=Windows")
            assert not await hangs_over(page), screen
            assert visitor.problems == []
        if not seeded:
            await browse(site)


async def test_a_newcomer_is_told_what_to_do(site: Client, new_visitor: NewVisitor) -> None:
    visitor = await new_visitor(permissions=["clipboard-read", "clipboard-write"])
    page = await open_dashboard(visitor)
    assert await page.evaluate(SHIFTS) < 0.1
    line = f'<script defer src="{str(site.make_url("/")).rstrip("/")}/maicivy.js"></script>'
    assert await page.locator("#welcome code").first.inner_text() == line
    await page.locator("#welcome").get_by_role("button", name="Copy").first.click()
    await page.locator("#welcome").get_by_role("button", name="Copied").wait_for()
    assert await page.evaluate("navigator.clipboard.readText()") == line
    await browse(site, 1)
    await page.locator("#welcome").wait_for(state="hidden")
    assert visitor.problems == []


async def test_it_speaks_french(site: Client, new_visitor: NewVisitor) -> None:
    await browse(site)
    visitor = await new_visitor(locale="fr-FR")
    page = await open_dashboard(visitor)
    assert await page.locator("html").get_attribute("lang") == "fr"
    assert await page.locator("#chart-title").inner_text() == "Visiteurs uniques"
    assert re.fullmatch(r"\d+,\d\s%", await number(page, "bounce_rate"))
    await page.locator("#lang").select_option("en")
    await page.get_by_role("heading", name="Unique visitors").wait_for()
    assert page.url.endswith("/dashboard?lang=en")
    await page.reload()
    await page.get_by_role("heading", name="Unique visitors").wait_for()
    page = await open_dashboard(await new_visitor(locale="de-DE"), "?lang=fr")
    assert await page.locator("#chart-title").inner_text() == "Visiteurs uniques"
    assert await page.get_by_role("button", name="Copier le lien").is_visible()


async def test_the_appearance_can_be_chosen(site: Client, new_visitor: NewVisitor) -> None:
    page = await open_dashboard(await new_visitor(color_scheme="light"))
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    light = await page.evaluate(paper)
    await page.locator("#appearance").select_option("dark")
    dark = await page.evaluate(paper)
    assert dark != light
    assert "appearance=dark" in page.url
    await page.reload()
    assert await page.evaluate(paper) == dark


async def test_the_keyboard_reaches_everything(site: Client, new_visitor: NewVisitor) -> None:
    await browse(site)
    page = await open_dashboard(await new_visitor(**DESK))
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    await page.keyboard.press("Enter")
    tile = page.locator("#tiles button", has_text="Letters")
    await tile.focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Letters", level=2).first.wait_for()
    await answered(page)
    assert "metric=letters" in page.url
    # An answer that comes meanwhile does not take the focus away.
    assert await page.evaluate("document.activeElement.dataset.key") == "letters"
    await page.locator("#devices [role=tab]").first.focus()
    await page.keyboard.press("ArrowRight")
    await answered(page)
    assert await page.evaluate("document.activeElement.textContent") == "System"
    await row(page, "pages", "/letters").locator("button").focus()
    await page.keyboard.press("Space")
    await page.locator("#chips .chip").wait_for()
    await page.locator("#chips button").first.focus()
    await page.keyboard.press("Enter")
    await page.locator("#chips").wait_for(state="hidden")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    await page.keyboard.press("Tab")
    assert await page.evaluate(outline) == "solid"


async def test_a_card_that_fails_says_so_and_can_be_asked_again(
    site: Client, new_visitor: NewVisitor
) -> None:
    await browse(site)
    visitor = await new_visitor()
    answers = [{"success": False, "error": "The numbers are away.", "code": "unavailable"}]
    page = await visitor.context.new_page()
    sources = re.compile("/analytics/sources")

    async def refuse(route: Any) -> None:
        await route.fulfill(status=503, json=answers[0])

    await page.route(sources, refuse)
    await page.goto("/dashboard")
    await page.locator("#sources .failed").wait_for()
    assert "The numbers are away." in await page.locator("#sources .failed").inner_text()
    await page.locator("#pages tbody tr").first.wait_for()
    await page.unroute(sources)
    await page.locator("#sources").get_by_role("button", name="Try again").click()
    await row(page, "sources", "Google").wait_for()


async def test_a_login_is_asked_for_where_one_is_needed(
    site: Client, new_visitor: NewVisitor
) -> None:
    page = await (await new_visitor()).context.new_page()

    async def refuse(route: Any) -> None:
        body = {"success": False, "error": "Log in first.", "code": "unauthorized"}
        await route.fulfill(status=401, json=body)

    await page.route(re.compile("/api/v1/analytics/sessions/summary"), refuse)
    await page.goto("/dashboard?path=/cv")
    await until(lambda: "/login" in page.url)
    assert page.url.endswith("/login?next=%2Fdashboard%3Fpath%3D%2Fcv")
