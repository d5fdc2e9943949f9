"""Logging in, out and by a link, as somebody does it who sits before a browser."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from maicivy.storage.grants import Kind
from maicivy.web import keys
from maicivy.web.badge import text_width
from tests.browser.conftest import PASSWORD, new_context, submit
from tests.browser.test_pages import SCREENS, look
from tests.conftest import API

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

    from tests.conftest import Client, FakeClock

pytestmark = pytest.mark.browser


async def status_of(page: Page, path: str = f"{API}/realtime") -> int:
    return int(await page.evaluate("async (path) => (await fetch(path)).status", path))


async def test_by_keyboard_to_where_one_wanted_to_go_and_out_again(
    browser: Browser, guarded: Client
) -> None:
    context = await new_context(browser, guarded)
    page = await context.new_page()
    await page.goto("/metrics?from=here")
    assert page.url.endswith("/login?next=/metrics%3Ffrom%3Dhere")
    assert await page.title() == "Log in · maicivy"
    await submit(page, "not the password")
    alert = page.get_by_role("alert")
    assert await alert.inner_text() == "That is not the password."
    field = page.get_by_label("Password")
    assert await field.evaluate("one => one === document.activeElement")
    assert await field.get_attribute("aria-invalid") == "true"
    await submit(page, PASSWORD)
    assert page.url == str(guarded.make_url("/metrics?from=here"))
    assert "maicivy_events_total" in await page.inner_text("body")
    await page.goto("/docs")
    assert await status_of(page) == 200
    cookies = {cookie["name"]: cookie for cookie in await context.cookies()}
    login = cookies["maicivy_login"]
    assert (login["httpOnly"], login["sameSite"], login["path"]) == (True, "Lax", "/")
    assert login["expires"] == pytest.approx(time.time() + 30 * 86_400, abs=60)
    # the tab order has nothing but the form in it
    other = await new_context(browser, guarded)
    page_of_other = await other.new_page()
    await page_of_other.goto("/login")
    await page_of_other.locator("#password:focus").wait_for()
    await page_of_other.keyboard.press("Tab")
    focused = await page_of_other.evaluate("document.activeElement.tagName")
    assert focused == "BUTTON"
    await page.goto("/docs")
    # the reference's policy allows no form, so that it is sent by hand
    assert await page.evaluate("fetch('/logout', {method: 'POST'}).then((a) => a.url)") == str(
        guarded.make_url("/login")
    )
    assert await status_of(page) == 401
    assert "maicivy_login" not in {cookie["name"] for cookie in await context.cookies()}


async def test_without_javascript_in_french_by_night_on_a_phone(
    browser: Browser, guarded: Client
) -> None:
    for screen in SCREENS:
        context = await new_context(
            browser, guarded, java_script_enabled=False, locale="fr-FR", **screen
        )
        await log_in_with_the_mouse(await context.new_page(), screen["color_scheme"])
        await context.close()


async def log_in_with_the_mouse(page: Page, scheme: str) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    await page.goto("/login?next=/health")
    assert await page.inner_text("h1") == "Connexion"
    await look(page, scheme)
    assert said == []
    await page.get_by_label("Mot de passe").fill("faux mot de passe")
    await page.get_by_role("button", name="Se connecter").click()
    assert await page.get_by_role("alert").inner_text() == "Mot de passe incorrect."
    await look(page, scheme)
    await page.get_by_label("Mot de passe").fill(PASSWORD)
    await page.get_by_role("button", name="Se connecter").click()
    await page.wait_for_url("**/health")


async def test_a_link_opens_for_a_second_browser_until_it_expires(
    browser: Browser, guarded: Client, clock: FakeClock
) -> None:
    grants = guarded.app[keys.ACCESS].grants
    _, secret = await grants.create(Kind.SHARE, view="period=week", days=1)
    owner, guest = await new_context(browser, guarded), await new_context(browser, guarded)
    page = await owner.new_page()
    await page.goto("/login?next=/docs")
    await submit(page, PASSWORD)
    assert await status_of(page, f"{API}/shares") == 200
    visit = await guest.new_page()
    # as from a mail or a chat: a page of another site leads here
    await visit.goto(f"data:text/html,<a href='{guarded.make_url(f'/share/{secret}')}'>go</a>")
    await visit.get_by_text("go").click()
    await visit.wait_for_url("**/dashboard?period=week")
    await visit.goto("/docs")
    assert await status_of(visit) == 200
    assert await status_of(visit, f"{API}/shares") == 403
    opened = await visit.evaluate(
        """() => new Promise((done) => {
          const socket = new WebSocket(`ws://${location.host}/ws/analytics`);
          socket.onmessage = ({ data }) => done(JSON.parse(data).type);
          socket.onerror = () => done("refused");
        })"""
    )
    assert opened == "initial_stats"
    clock.advance(days=1, seconds=1)
    assert await status_of(visit) == 401
    assert await status_of(page) == 200
    await visit.goto(f"/share/{secret}")
    assert await visit.inner_text("h1") == "Nothing to see here"
    await visit.get_by_role("link", name="Log in instead").click()
    await visit.get_by_label("Password").wait_for()


async def test_a_page_of_another_origin_can_do_nothing_for_who_is_logged_in(
    browser: Browser, guarded: Client, aiohttp_server: Any
) -> None:
    context = await new_context(browser, guarded)
    page = await context.new_page()
    await page.goto("/login?next=/docs")
    await submit(page, PASSWORD)

    async def evil(_: web.Request) -> web.Response:
        target = guarded.make_url("/logout")
        text = f"<form method=post action='{target}'><button>go</button></form>"
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", evil)
    server = await aiohttp_server(app)
    other = await context.new_page()
    await other.goto(str(server.make_url("/")))
    await other.get_by_text("go").click()
    await other.get_by_text("origin_not_allowed").wait_for()
    assert await status_of(page) == 200
    read = await other.evaluate(
        "async (url) => (await fetch(url, {credentials: 'include'}).catch(() => null))?.status",
        str(guarded.make_url(f"{API}/realtime")),
    )
    assert read is None


async def test_images_fit_and_follow_the_readers_scheme(
    browser: Browser, client: Client, aiohttp_server: Any
) -> None:
    context = await new_context(browser, client)
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    label = "Besucher · 日本語 & Wi <b>"
    address = client.make_url("/badge/visitors.svg").with_query(label=label)
    await page.goto(str(address))
    for text in await page.evaluate(
        "[...document.querySelectorAll('text')].map((t) => t.textContent)"
    ):
        natural = await page.evaluate(
            """(text) => {
              const all = [...document.querySelectorAll("text")];
              const one = all.find((each) => each.textContent === text);
              one.removeAttribute("textLength");
              return one.getComputedTextLength();
            }""",
            text,
        )
        assert natural == pytest.approx(text_width(text), rel=0.12), text
    colours = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        await page.goto("/embed/chart.svg")
        colours.append(
            await page.evaluate("getComputedStyle(document.querySelector('.paper')).fill")
        )
    assert [re.findall(r"\d+", colour)[0] for colour in colours] == ["255", "27"]
    assert said == []

    async def other(_: web.Request) -> web.Response:
        text = f"<img src='{address}'><img src='{client.make_url('/embed/chart.svg')}'>"
        headers = {"Cross-Origin-Embedder-Policy": "require-corp"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    app = web.Application()
    app.router.add_get("/", other)
    server = await aiohttp_server(app)
    await page.goto(str(server.make_url("/")))
    widths = await page.evaluate("[...document.images].map((one) => one.naturalWidth)")
    assert widths[0] > 150
    assert widths[1] == 600
