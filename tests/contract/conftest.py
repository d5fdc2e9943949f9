"""The program at the document's own instant, with the pages that the document speaks of."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.web import keys
from tests.conftest import until
from tests.contract.document import SEED
from tests.contract.shapes import parse_instant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.conftest import Client, ClientFactory, FakeClock

REALTIME_EVENT = SEED.section("3. Realtime Event (via Pub/Sub)").json()[0]
INSTANT = parse_instant(REALTIME_EVENT["timestamp"])
PAGES = ("cv", "letters")
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture
def make_seed_client(
    make_client: ClientFactory, clock: FakeClock, tmp_path: Path
) -> Callable[..., Awaitable[Client]]:
    """Start the program when the document was written; tests may say where they come from."""

    async def make(**overrides: Any) -> Client:
        site = tmp_path / "site"
        site.mkdir()
        for page in PAGES:
            (site / f"{page}.html").write_text(f"<!doctype html><title>{page}</title>")
        clock.freeze(INSTANT)
        client = await make_client(site_dir=site, trusted_proxies=LOOPBACK, **overrides)
        await until(client.app[keys.HUB].subscribed.is_set)
        return client

    return make


@pytest.fixture
async def seed_client(make_seed_client: Callable[..., Awaitable[Client]]) -> Client:
    return await make_seed_client()


async def visit(client: Client, page: str) -> None:
    """Look at a page as a browser does, and see the view stored."""
    writer = client.app[keys.WRITER]
    response = await client.get(page)
    assert response.status == 200, page
    assert response.content_type == "text/html"
    await until(writer._idle.is_set)
