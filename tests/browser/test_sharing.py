"""Sharing a view: as who knows the password does it, and as who gets the link sees it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import PASSWORD, new_context, submit, there_are
from tests.browser.dashboard import answered, browse, faults
from tests.conftest import BROWSER

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

    from tests.conftest import Client

pytestmark = pytest.mark.browser


async def dashboard_of(context: BrowserContext, query: str = "") -> Page:
    """Log in and look at the dashboard; whatever it complains of is an error."""
    page = await context.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    await page.goto(f"/dashboard{query}")
    await submit(page, PASSWORD)
    await answered(page)
    return page


async def test_a_view_is_shared_and_the_link_is_revoked(browser: Browser, guarded: Client) -> None:
    await browse(guarded)
    owner = await new_context(browser, guarded, locale="en-GB")
    page = await dashboard_of(owner, "?path=/letters&period=7d")
    await page.get_by_role("button", name="Share…").click()
    dialog = page.get_by_role("dialog", name="Share this view")
    await dialog.get_by_text("None.").wait_for()
    await dialog.get_by_label("For whom").fill("the board")
    await dialog.get_by_label("Good for").select_option(label="30 days")
    await dialog.get_by_role("button", name="Create a link").click()
    link = await dialog.locator(".made code").inner_text()
    await there_are(1, dialog.locator(".links li"))
    assert "the board" in await dialog.locator(".links li").inner_text()
    assert await faults(page) == []

    guest = await new_context(browser, guarded, locale="en-GB")
    visit = await guest.new_page()
    await visit.goto(link)
    assert visit.url.endswith("/dashboard?period=7d&path=/letters")
    await answered(visit)
    await visit.get_by_role("button", name="Copy link").wait_for()
    assert await visit.get_by_role("button", name="Log out").count() == 0

    await dialog.get_by_role("button", name="Revoke the link: the board").click()
    await dialog.get_by_text("None.").wait_for()
    await page.keyboard.press("Escape")
    await there_are(0, page.get_by_role("dialog"))
    assert await page.evaluate("document.activeElement.id") == "share"
    answer = await guest.request.get(link, headers={"User-Agent": BROWSER})
    assert answer.status == 404


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_dialog_shuts_nobody_out_and_says_what_fails(
    browser: Browser, guarded: Client, scheme: Any
) -> None:
    phone = {"viewport": {"width": 360, "height": 640}, "color_scheme": scheme, "locale": "fr-FR"}
    page = await dashboard_of(await new_context(browser, guarded, **phone))
    await page.get_by_role("button", name="Partager…").click()
    dialog = page.get_by_role("dialog", name="Partager cette vue")
    assert await faults(page) == []
    too_many = json.dumps({"success": False, "error": "There are 100.", "code": "too_many_shares"})
    await page.route("**/shares", lambda route: route.fulfill(status=409, body=too_many))
    await dialog.get_by_role("button", name="Créer un lien").click()
    await dialog.get_by_role("alert").first.wait_for()
    assert await dialog.locator(".made").inner_text() == "There are 100."
    assert await faults(page) == []


async def test_logging_out_from_the_dashboard(browser: Browser, guarded: Client) -> None:
    context = await new_context(browser, guarded, locale="en-GB")
    page = await dashboard_of(context)
    await page.get_by_role("button", name="Log out").click()
    await page.wait_for_url("**/login*")
    await page.goto("/dashboard?period=7d")
    assert page.url.endswith("/login?next=/dashboard%3Fperiod%3D7d")


async def test_without_a_password_the_address_is_copied(browser: Browser, make_client: Any) -> None:
    client = await make_client()
    page = await (await new_context(browser, client, locale="en-GB")).new_page()
    await page.goto("/dashboard")
    await page.get_by_role("button", name="Copy link").click()
    await page.get_by_role("button", name="Copied").wait_for()
    assert await page.get_by_role("dialog").count() == 0
