"""Pictures of the dashboard for the documentation: `python -m tests.browser.screenshots`.

Made-up visitors come to a server of its own; the pictures go to `docs/images/`.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.browser.conftest import SITE, chromium
from tests.conftest import BROWSER
from tests.integration.test_cli import ROOT, Server, run

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

IMAGES = ROOT / "docs" / "images"
DESK: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}
# Name, what the address asks for, the browser.
SHOTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("light", "?period=7d&appearance=light", DESK),
    ("dark", "?period=30d&appearance=dark&metric=page_views", DESK),
    ("phone", "?period=7d&appearance=light", PHONE),
    ("french", "?period=30d&appearance=light&lang=fr&source=Google", DESK),
)
SETTLE_MS = 1500


async def open_page(browser: Browser, server: Server, query: str, options: dict[str, Any]) -> Page:
    """Open the dashboard; everything is drawn."""
    context = await browser.new_context(
        base_url=f"http://127.0.0.1:{server.port}", reduced_motion="reduce", **options
    )
    page = await context.new_page()
    await page.goto(f"/dashboard{query}")
    await page.locator("#live[data-state=live]").wait_for()
    await page.wait_for_timeout(SETTLE_MS)
    return page


async def shoot(page: Page, name: str) -> None:
    """Write what is in the window."""
    await page.screenshot(path=IMAGES / f"dashboard-{name}.png")


async def busy(browser: Browser, folder: Path) -> None:
    """Picture a server with visitors, and what is seen when it goes away."""
    made = run("demo", MAICIVY_DATA_DIR=str(folder))
    assert made.returncode == 0, made.stderr
    server = Server(folder, MAICIVY_SITE_DIR=str(SITE))
    try:
        for name, query, options in SHOTS:
            await shoot(await open_page(browser, server, query, options), name)
        page = await open_page(browser, server, "?period=7d", DESK)
        await page.locator("#heatmap").scroll_into_view_if_needed()
        await page.wait_for_timeout(SETTLE_MS)
        await page.locator("#heatmap").screenshot(path=IMAGES / "dashboard-clicks.png")
        page = await open_page(browser, server, "?period=7d&appearance=light", DESK)
    finally:
        server.stop()
    await page.locator("#live[data-state=offline]").wait_for()
    await page.wait_for_timeout(SETTLE_MS)
    await shoot(page, "offline")


async def empty(browser: Browser, folder: Path) -> None:
    """Picture a server that nobody has visited."""
    server = Server(folder)
    try:
        await shoot(await open_page(browser, server, "?appearance=light", DESK), "empty")
    finally:
        server.stop()


async def main() -> None:
    """Make all pictures."""
    with tempfile.TemporaryDirectory() as name:
        async with chromium(f"--user-agent={BROWSER}") as browser:
            await busy(browser, Path(name) / "busy")
            await empty(browser, Path(name) / "empty")


if __name__ == "__main__":
    asyncio.run(main())
