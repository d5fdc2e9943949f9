"""The tracker on pages of another site: what a visitor does is a row each, and nothing else is."""

from __future__ import annotations

import asyncio
import functools
import json
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import pytest

from maicivy.periods import utc_now
from maicivy.web import keys
from tests.browser.conftest import SETTLE_SECONDS, SITE, Visitor, settled
from tests.browser.shop import Relay, Shop
from tests.conftest import API, Client, ClientFactory, Database, FakeClock, get_data, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from playwright.async_api import Browser, Page, Request, Route


pytestmark = pytest.mark.browser

ELSEWHERE = SITE.parent / "elsewhere"

Row: TypeAlias = tuple[str, dict[str, Any] | None, str | None, str | None, int]

WIDTH = {"width": 1280}
HIDE = """() => {
  Object.defineProperty(document, "hidden", { get: () => true, configurable: true });
  document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
}"""
SHOW = """() => {
  delete document.hidden;
  document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
}"""


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with Shop().open() as shop:
        yield shop


@pytest.fixture
async def client(make_client: ClientFactory, clock: FakeClock, shop: Shop) -> Client:
    """The application at noon, which lets the shop in."""
    noon = utc_now().replace(hour=12, minute=0, second=0, microsecond=0)
    clock.offset = noon - utc_now()
    client = await make_client(allowed_origins=(shop.origin, shop.sibling))
    shop.use(str(client.make_url("/maicivy.js")))
    return client


async def enter(browser: Browser, client: Client, shop: Shop, **options: Any) -> Visitor:
    return await Visitor.start(browser, client, base_url=shop.origin, **options)


async def visit(visitor: Visitor, path: str) -> Page:
    """Open a page whose clock stands still until it is told to run."""
    page = await visitor.context.new_page()
    await page.clock.install(time=0)
    await page.clock.pause_at(1000)
    await page.goto(path)
    return page


async def stored(database: Database, count: int) -> list[Row]:
    """Return all rows in the order in which they came, once there are `count` and no more come."""
    query = "SELECT count(*) FROM analytics_events"

    async def enough() -> bool:
        return bool(await database.fetchval(query) >= count)

    await until(enough)
    await asyncio.sleep(SETTLE_SECONDS)
    return await rows(database)


async def rows(database: Database) -> list[Row]:
    records = await database.fetch(
        "SELECT event_type, event_data, page_url, referrer, session_duration"
        " FROM analytics_events ORDER BY id"
    )
    return [(a, json.loads(b) if b else None, *rest) for a, b, *rest in map(tuple, records)]


def in_any_order(found: list[Row]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in found)


async def place_of(page: Page, selector: str) -> tuple[int, int]:
    box = await page.locator(selector).bounding_box()
    assert box is not None
    return int(box["x"] + 3), int(box["y"] + 3)


async def press(page: Page, selector: str, **options: Any) -> dict[str, int]:
    """Click with the mouse; return what the event says of where that was."""
    x, y = await place_of(page, selector)
    await page.mouse.click(x, y, **options)
    return {"x": x, "y": y, **WIDTH}


async def test_everything_is_a_row(
    browser: Browser, client: Client, shop: Shop, database: Database
) -> None:
    visitor = await enter(browser, client, shop)
    page = await visit(visitor, "/shop?utm_source=news&secret=1#top")
    home, item = "/shop?utm_source=news", "/item?utm_source=mail"
    start, there = "/shop", "/item"  # as referrers
    await page.clock.run_for(1500)
    plain = await press(page, "h1")
    buy = await press(page, "#buy")
    route = await press(page, "#route")
    await page.evaluate("history.replaceState(null, '', '/item?utm_source=mail&id=8#x')")
    await page.evaluate("location.hash = 'y'")
    out = await press(page, "#out")
    middle = await press(page, "#out", button="middle")
    await press(page, "#out", button="right")
    inside = await press(page, "#in")
    mail = await press(page, "#mail")
    await page.locator("#out").press("Enter")
    await page.locator("#buy").press("Enter")
    async with page.expect_download():
        pdf = await press(page, "#pdf")
    async with page.expect_download():
        archive = await press(page, "#zip")
    send = await press(page, "#send")
    await page.evaluate("maicivy('custom', { deep: { list: [1] } })")
    await page.evaluate("maicivy('timed', null, 4)")
    await page.clock.run_for(400)
    await page.go_back()
    await page.go_back()
    await page.wait_for_url("**/shop?*")
    link = {"href": "https://other.example/elsewhere", "kind": "outbound"}
    expected: list[Row] = [
        ("page_view", WIDTH, home, None, 0),
        ("early", {"n": 1}, home, None, 0),
        ("click", plain, home, None, 0),
        ("click", buy, home, None, 0),
        ("signup", {"plan": "pro"}, home, None, 0),
        ("click", route, home, None, 0),
        ("page_leave", WIDTH, home, None, 1),
        ("page_view", WIDTH, item, start, 0),
        ("link_click", out | link, item, start, 0),
        ("link_click", middle | link, item, start, 0),
        ("click", inside, item, start, 0),
        ("click", mail, item, start, 0),
        ("link_click", WIDTH | link, item, start, 0),
        ("signup", {"plan": "pro"}, item, start, 0),
        ("pdf_download", pdf | {"href": f"{shop.origin}/files/terms.PDF"}, item, start, 0),
        ("file_download", archive | {"href": f"{shop.origin}/files/all.zip"}, item, start, 0),
        ("click", send, item, start, 0),
        ("form_submit", {"form": "order"}, item, start, 0),
        ("order", {"kind": "big"}, item, start, 0),
        ("custom", {"deep": {"list": [1]}}, item, start, 0),
        ("timed", None, item, start, 4),
        ("page_view", WIDTH, home, there, 0),
    ]
    found = await stored(database, len(expected))
    assert in_any_order(found) == in_any_order(expected)
    assert visitor.problems == []
    assert await database.fetchval("SELECT count(*) FROM visitors") == 1
    kept = await page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]")
    assert kept == ["", 0, 0]
    places = {(one["x"], one["y"]) for one in await get_data(client, "heatmap?page_url=/shop")}
    assert places == {(plain["x"], plain["y"]), (buy["x"], buy["y"]), (route["x"], route["y"])}


async def test_time_counts_while_the_page_is_seen_and_in_focus(
    browser: Browser, client: Client, shop: Shop, database: Database
) -> None:
    visitor = await enter(browser, client, shop)
    page = await visit(visitor, "/a")
    await page.clock.run_for(3400)
    await page.evaluate(HIDE)
    await page.clock.run_for(60_000)
    await page.evaluate(SHOW)
    await page.clock.run_for(2000)
    await page.evaluate("document.hasFocus = () => false; dispatchEvent(new Event('blur'))")
    await page.clock.run_for(60_000)
    await page.evaluate("delete document.hasFocus; dispatchEvent(new Event('focus'))")
    await page.clock.run_for(1900)
    # a real end; of what was told and what is left of whole seconds, 7 of 7.3 are told in all
    await page.close(run_before_unload=True)
    leaves = [row for row in await stored(database, 4) if row[0] == "page_leave"]
    assert leaves == [("page_leave", WIDTH, "/a", None, 3), ("page_leave", WIDTH, "/a", None, 4)]
    assert visitor.problems == []


async def test_a_short_look_is_no_time(
    browser: Browser, client: Client, shop: Shop, database: Database
) -> None:
    visitor = await enter(browser, client, shop)
    page = await visit(visitor, "/a")
    await page.clock.run_for(900)
    await page.evaluate(HIDE)
    assert [row[0] for row in await stored(database, 2)] == ["page_view", "early"]


async def test_a_sibling_of_the_server_has_a_visitor_with_a_cookie(
    browser: Browser, client: Client, shop: Shop, database: Database
) -> None:
    """On another name of the server's own site the cookie works, and the browser says same-site."""
    visitor = await Visitor.start(browser, client, base_url=shop.sibling)
    page = await visit(visitor, "/a")
    await page.evaluate("maicivy('at_once')")  # which waits for the cookie
    await stored(database, 3)
    cookie = await visitor.cookie()
    assert cookie["httpOnly"]
    await page.reload()
    await stored(database, 5)
    assert await visitor.cookie() == cookie
    assert await database.fetchval("SELECT count(*) FROM visitors") == 1
    assert visitor.problems == []


async def test_who_does_not_want_to_be_counted_sends_nothing(
    browser: Browser, client: Client, shop: Shop, database: Database
) -> None:
    wishes = (
        "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})",
        "Object.defineProperty(Navigator.prototype, 'doNotTrack', {get: () => '1'})",
        "if (location.protocol == 'http:') localStorage.maicivy_ignore = 'true'",
        "Object.defineProperty(window, 'localStorage', {get: () => { throw new Error('no') }})",
    )
    for wish in wishes:
        visitor = await enter(browser, client, shop)
        await visitor.context.add_init_script(wish)
        page = await visit(visitor, "/a")
        await page.clock.run_for(2000)
        await press(page, "#buy")
        await press(page, "#send")
        await page.evaluate("maicivy('custom'); history.pushState(null, '', '/b')")
        await page.clock.run_for(2000)
        await page.close(run_before_unload=True)
        assert visitor.problems == []
        assert visitor.events == [], wish
    await asyncio.sleep(SETTLE_SECONDS)
    assert await rows(database) == []


async def through(
    browser: Browser, client: Client, shop: Shop, relay: Relay
) -> tuple[Visitor, Page]:
    """Open a page whose way to the server is `relay`, and whose second try follows after 500 ms."""
    shop.use(f"http://127.0.0.1:{relay.port}/maicivy.js")
    visitor = await enter(browser, client, shop)
    await visitor.context.add_init_script("Math.random = () => 0.1")
    page = await visit(visitor, "/a")
    return visitor, page


async def test_the_server_goes_and_comes_back(
    browser: Browser, client: Client, shop: Shop, database: Database
) -> None:
    relay = Relay(client)
    await relay.up()
    try:
        visitor, page = await through(browser, client, shop, relay)
        await stored(database, 2)
        await relay.down()
        async with page.expect_event("requestfailed"):
            await page.evaluate("maicivy('while_away')")
        await relay.up()
        await page.clock.run_for(600)
        assert [row[0] for row in await stored(database, 3)] == ["page_view", "early", "while_away"]

        await relay.down()
        async with page.expect_event("requestfailed"):
            await page.evaluate("maicivy('lost')")
        async with page.expect_event("requestfailed"):  # tried twice, and no more
            await page.clock.run_for(600)
        await relay.up()
        await page.clock.run_for(60_000)
        await page.evaluate("maicivy('after')")
        assert [row[0] for row in await stored(database, 4)][3:] == ["after"]
        assert not [one for one in visitor.problems if one.startswith("uncaught")]
    finally:
        await relay.down()


async def test_a_lost_answer_is_no_second_row(
    browser: Browser, client: Client, shop: Shop, database: Database
) -> None:
    relay = Relay(client)
    await relay.up()
    try:
        _, page = await through(browser, client, shop, relay)
        await stored(database, 2)
        relay.is_deaf = True
        async with page.expect_event("requestfailed"):
            await page.evaluate("maicivy('once')")
        relay.is_deaf = False
        assert relay.lost >= 1
        # browsers repeat by themselves what fails on a connection that they had kept
        before = dropped(client, "duplicate")
        await page.clock.run_for(600)
        await until(lambda: dropped(client, "duplicate") == before + 1)
        assert [row[0] for row in await stored(database, 3)] == ["page_view", "early", "once"]
    finally:
        await relay.down()


def dropped(client: Client, reason: str) -> float:
    registry = client.app[keys.METRICS].registry
    return registry.get_sample_value("maicivy_events_dropped_total", {"reason": reason}) or 0.0


@pytest.mark.parametrize(("status", "times"), [(429, 2), (503, 2), (400, 1), (202, 1)])
async def test_a_busy_server_is_asked_once_more(
    browser: Browser, client: Client, shop: Shop, status: int, times: int
) -> None:
    visitor = await enter(browser, client, shop)
    await visitor.context.add_init_script("Math.random = () => 0.1")
    headers = {
        "Access-Control-Allow-Origin": shop.origin,
        "Access-Control-Allow-Credentials": "true",
    }

    async def refuse(route: Route) -> None:
        await route.fulfill(status=status, headers=headers)

    await visitor.context.route("**/events", refuse)
    page = await visit(visitor, "/a")
    for _ in range(4):
        await page.clock.run_for(5000)
        await asyncio.sleep(SETTLE_SECONDS / 3)
    views = [body for body in visitor.events if body["events"][0]["event_type"] == "page_load"]
    assert len(views) == times
    assert views == [views[0]] * times  # with the same ids


@pytest.mark.parametrize(
    "broken", ["delete window.fetch", "window.fetch = () => { throw new Error('mine') }"]
)
async def test_without_fetch_there_is_the_beacon(
    browser: Browser, client: Client, shop: Shop, database: Database, broken: str
) -> None:
    visitor = await enter(browser, client, shop)
    await visitor.context.add_init_script(broken)
    page = await visit(visitor, "/a")
    await page.clock.run_for(6000)
    assert sorted(row[0] for row in await stored(database, 2)) == ["early", "page_view"]
    assert visitor.problems == []


async def test_it_never_throws_in_the_page(
    browser: Browser, client: Client, shop: Shop, database: Database
) -> None:
    visitor = await enter(browser, client, shop)
    page = await visit(visitor, "/a")
    await page.evaluate(
        """() => {
          const ring = {};
          ring.ring = ring;
          maicivy("ring", ring);
          maicivy("big", { n: 10n });
          maicivy();
          maicivy(null, null, null);
          maicivy("fine");
          window.dispatchEvent(new Event("click"));
          document.dispatchEvent(new Event("submit", { bubbles: true }));
          for (const options of [{}, { type: "module" }]) {
            const script = document.createElement("script");
            document.body.append(Object.assign(script, options, { src: window.tracker }));
          }
        }""".replace("window.tracker", json.dumps(shop.script))
    )
    await page.wait_for_load_state("networkidle")
    await page.clock.run_for(6000)
    # without a name the server takes none; the script, loaded again, does nothing again
    assert sorted(row[0] for row in await stored(database, 3)) == ["early", "fine", "page_view"]
    assert visitor.problems == []


async def test_a_page_made_ahead_counts_when_it_is_shown(
    browser: Browser, client: Client, shop: Shop, database: Database
) -> None:
    visitor = await enter(browser, client, shop)
    await visitor.context.add_init_script(
        """for (const name of ["prerendering", "hidden"])
             Object.defineProperty(document, name, { get: () => true, configurable: true });"""
    )
    page = await visit(visitor, "/a")
    await page.clock.run_for(60_000)
    await asyncio.sleep(SETTLE_SECONDS)
    assert visitor.events == []
    await page.evaluate("delete document.prerendering")
    await page.evaluate(SHOW)
    await page.clock.run_for(300)
    assert [row[0] for row in await stored(database, 2)] == ["page_view", "early"]
    assert visitor.events[0]["events"][0]["event_type"] == "page_view"


async def test_a_page_that_was_kept_counts_again(
    browser: Browser, client: Client, shop: Shop, database: Database
) -> None:
    visitor = await enter(browser, client, shop)
    page = await visit(visitor, "/a")
    await page.clock.run_for(300)
    for persisted in ("false", "true"):
        await page.evaluate(
            f"dispatchEvent(new PageTransitionEvent('pageshow', {{persisted: {persisted}}}))"
        )
    assert [row[0] for row in await stored(database, 3)] == ["page_view", "early", "page_view"]
    assert visitor.problems == []


async def test_hash_routes_if_they_are_wanted(
    browser: Browser, client: Client, shop: Shop, database: Database
) -> None:
    shop.use(shop.script, 'data-hash="true"')
    visitor = await enter(browser, client, shop)
    page = await visit(visitor, "/a?theme=x")
    await page.evaluate("location.hash = '#/one?theme=y&secret=1'")
    await page.evaluate("location.hash = '#/two'")
    await page.go_back()
    await page.clock.run_for(300)
    views = [row[2] for row in await stored(database, 5) if row[0] == "page_view"]
    one = "/a?theme=x#/one?theme=y"
    assert views == ["/a?theme=x", one, "/a?theme=x#/two", one]
    assert visitor.problems == []


def is_sent_to(path: str) -> Callable[[Request], bool]:
    return lambda request: request.method == "POST" and urlsplit(request.url).path == path


def is_of(path: str) -> Callable[[Request], bool]:
    return lambda request: urlsplit(request.url).path == path


def has_sent(visitor: Visitor, count: int) -> bool:
    return len(visitor.events) >= count


async def test_other_names(
    browser: Browser,
    make_client: ClientFactory,
    shop: Shop,
    database: Database,
) -> None:
    client = await make_client(
        allowed_origins=(shop.origin,), tracker_path="/maicivy/x.js", collect_path="/hello"
    )
    for options, path in (
        ("", "/hello"),
        ('data-endpoint="/api/v1/analytics/events"', f"{API}/events"),
        (f'data-endpoint="{client.make_url("/hello?1")}"', "/hello"),
    ):
        shop.use(str(client.make_url("/maicivy/x.js")), options)
        visitor = await enter(browser, client, shop)
        async with visitor.context.expect_event("request", is_sent_to(path)):
            await visit(visitor, "/a")
        await until(functools.partial(has_sent, visitor, 1))
        assert visitor.problems == []
    assert (await client.get("/maicivy.js")).status == 404
    assert len(await stored(database, 6)) == 6
    assert (
        'endpoint="/hello",method="POST",status="201"'
        in await (await client.get("/metrics")).text()
    )


OWN_PAGE = """\
<!doctype html><title>Own</title><link rel="icon" href="data:,">
<script defer src="/maicivy.js"></script><a href="/b">b</a>
"""


async def test_a_page_that_the_server_serves_is_counted_once(
    browser: Browser, make_client: ClientFactory, tmp_path: Path, database: Database
) -> None:
    """The server counts it as it serves it, and takes the tracker's word for all else."""
    for name in ("index", "b"):
        (tmp_path / f"{name}.html").write_text(OWN_PAGE, encoding="utf-8")
    site = await make_client(site_dir=tmp_path)
    visitor = await Visitor.start(browser, site)
    page = await visit(visitor, "/")
    await until(functools.partial(has_sent, visitor, 1))
    await settled(site, 1)
    await page.reload()
    await until(functools.partial(has_sent, visitor, 2))
    await settled(site, 2)
    await page.evaluate("history.pushState(null, '', '/b')")
    await settled(site, 3)
    await page.reload()
    await settled(site, 4)
    await page.goto("/b?theme=x")
    await settled(site, 5)
    await page.locator("a").press("Enter")
    await settled(site, 7)  # the click, and the page
    kinds = [row[0] for row in await rows(database) if row[0] != "page_leave"]
    assert sorted(kinds) == ["click"] + ["page_view"] * 6
    assert await database.fetchval("SELECT count(*) FROM visitors") == 1
    assert visitor.problems == []


async def test_a_page_that_was_fetched_ahead_is_counted_when_it_is_seen(
    browser: Browser, make_client: ClientFactory, tmp_path: Path, database: Database
) -> None:
    rules = json.dumps({"prefetch": [{"urls": ["/b"], "eagerness": "immediate"}]})
    ahead = f'<script type="speculationrules">{rules}</script>'
    (tmp_path / "index.html").write_text(OWN_PAGE + ahead, encoding="utf-8")
    (tmp_path / "b.html").write_text(OWN_PAGE, encoding="utf-8")
    site = await make_client(site_dir=tmp_path, content_security_policy="")
    visitor = await Visitor.start(browser, site)
    async with visitor.context.expect_event("request", is_of("/b")) as fetched:
        page = await visit(visitor, "/")
    assert "prefetch" in (await (await fetched.value).all_headers())["sec-purpose"]
    await settled(site, 1)
    await page.locator("a").press("Enter")
    await page.wait_for_url("**/b")
    await settled(site, 3)
    views = [row[2] for row in await rows(database) if row[0] == "page_view"]
    assert views == ["/", "/b"]
    assert visitor.problems == []


async def test_the_example_sends_what_it_says(
    browser: Browser, client: Client, shop: Shop, database: Database
) -> None:
    text = (ELSEWHERE / "index.html").read_text(encoding="utf-8")
    assert text.count("http://127.0.0.1:8080/") == 1
    shop.page = text.replace("http://127.0.0.1:8080/", str(client.make_url("/")))
    shop.policy = ""
    visitor = await enter(browser, client, shop)
    page = await visit(visitor, "/")
    await press(page, "text=Pricing")
    await press(page, "text=Sign up")
    await press(page, "text=Subscribe")
    found = [(row[0], row[2]) for row in await stored(database, 9)]
    assert sorted(found) == [
        ("click", "/"),
        ("click", "/pricing"),
        ("click", "/pricing"),
        ("form_submit", "/pricing"),
        ("newsletter", "/pricing"),
        ("opened", "/"),
        ("page_view", "/"),
        ("page_view", "/pricing"),
        ("signup", "/pricing"),
    ]
    assert visitor.problems == []
