"""A real Chromium, visitors that use it, and what they saw."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import pytest
from playwright.async_api import async_playwright

from maicivy.periods import utc_now
from tests.conftest import BROWSER, Client, get_data, until

if TYPE_CHECKING:
    from playwright.async_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Locator,
        Page,
        Request,
        Response,
        WebSocket,
    )

    from tests.conftest import ClientFactory, FakeClock

SITE = Path(__file__).parents[2] / "examples" / "site"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Whatever asks for another host fails, and a test sees it.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]
SETTLE_SECONDS = 0.3
PASSWORD = "correct horse battery staple"


class Visitor:
    """One browser with its own cookies: what it sent, whom it called and what went wrong."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.problems: list[str] = []
        self.hosts: set[str] = set()
        self.events: list[dict[str, Any]] = []
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.problems.append(f"uncaught: {error.error}"))
        context.on("request", self._asked)
        context.on("response", self._answered)
        context.on("page", lambda page: page.on("websocket", self._connected))

    @classmethod
    async def start(cls, browser: Browser, site: Client, **options: Any) -> Visitor:
        settings: dict[str, Any] = {
            "base_url": str(site.make_url("/")),
            "viewport": {"width": 1280, "height": 800},
        }
        context = await browser.new_context(**settings | options)
        context.set_default_timeout(10_000)
        return cls(context)

    async def open(self, path: str) -> Page:
        """Open `path` in a new tab; its scripts have run and its footer is live."""
        page = await self.context.new_page()
        await page.goto(path)
        await page.locator("#live[data-state=live]").wait_for()
        return page

    async def cookie(self) -> Any:
        """Return the session cookie, the only one there may be, or None."""
        cookies = {cookie["name"]: cookie for cookie in await self.context.cookies()}
        assert cookies.keys() <= {"maicivy_session"}
        return cookies.get("maicivy_session")

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in {"data", "blob"}:
            self.hosts.add(address.netloc)
        if request.method == "POST":
            self.events.append(json.loads(request.post_data or ""))

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.status}: {response.url}")

    def _connected(self, socket: WebSocket) -> None:
        self.hosts.add(urlsplit(socket.url).netloc)
        socket.on("socketerror", lambda error: self.problems.append(f"socket: {error}"))


NewVisitor: TypeAlias = Callable[..., Awaitable[Visitor]]


@contextlib.asynccontextmanager
async def chromium(*arguments: str) -> AsyncIterator[Browser]:
    """Lend a Chromium; skips the test where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no Chromium on this machine (looked for {', '.join(PROGRAMS)})")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=[*ARGUMENTS, *arguments]
        )
        yield browser
        await browser.close()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A Chromium that says that somebody sits before it."""
    async with chromium(f"--user-agent={BROWSER}") as browser:
        yield browser


@pytest.fixture
async def site(make_client: ClientFactory, clock: FakeClock) -> Client:
    """The application with the example site, at noon, so that no visit meets midnight."""
    noon = utc_now().replace(hour=12, minute=0, second=0, microsecond=0)
    clock.offset = noon - utc_now()
    return await make_client(site_dir=SITE)


@pytest.fixture
async def new_visitor(browser: Browser, site: Client) -> NewVisitor:
    """Start a browser without cookies, with a desktop's screen unless told otherwise."""

    async def start(**options: Any) -> Visitor:
        return await Visitor.start(browser, site, **options)

    return start


@pytest.fixture
async def guarded(make_client: ClientFactory) -> Client:
    return await make_client(dashboard_password=PASSWORD)


async def new_context(browser: Browser, client: Client, **options: Any) -> BrowserContext:
    context = await browser.new_context(base_url=str(client.make_url("/")), **options)
    context.set_default_timeout(10_000)
    return context


async def submit(page: Page, given: str) -> None:
    """Type where the cursor is and press Enter, as the page is meant to be used."""
    await page.locator("#password:focus").wait_for()
    await page.keyboard.type(given)
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


async def settled(client: Client, total: int) -> None:
    """Wait until exactly `total` events are counted today and no more come."""

    async def counted() -> bool:
        return bool((await get_data(client, "realtime"))["total_events"] >= total)

    await until(counted)
    await asyncio.sleep(SETTLE_SECONDS)
    assert (await get_data(client, "realtime"))["total_events"] == total


async def there_are(number: int, elements: Locator) -> None:
    """Wait until there are exactly so many of them."""

    async def counted() -> bool:
        return await elements.count() == number

    await until(counted)


async def click(page: Page, name: str) -> tuple[int, int]:
    """Click inside `[data-track=name]` with the mouse; return where on the page that was."""
    element = page.locator(f'[data-track="{name}"]').first
    await element.scroll_into_view_if_needed()
    box, left, top = await element.evaluate(
        "one => [one.getClientRects()[0].toJSON(), window.scrollX, window.scrollY]"
    )
    x, y = round(box["x"] + box["width"] / 3), round(box["y"] + box["height"] / 3)
    await page.mouse.click(x, y)
    return x + round(left), y + round(top)
