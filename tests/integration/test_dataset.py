"""The data that measurements are made on look like the product's own."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from bench.dataset import Size, fill
from maicivy.metrics import Metrics
from maicivy.periods import utc_now
from maicivy.storage.stores import open_stores

if TYPE_CHECKING:
    from collections.abc import Callable

    from maicivy.config import Config
    from tests.conftest import Database, Urls


async def test_a_small_one_agrees_with_itself(
    urls: Urls, database: Database, config_factory: Callable[..., Config]
) -> None:
    now, value = utc_now(), database.fetchval
    assert await fill(urls.database, Size(events=2000, visitors=60, days=4), now) == 2000
    assert await value("SELECT count(*) FROM visitors") == 60
    ages = await database.fetchrow("SELECT min(created_at), max(created_at) FROM analytics_events")
    assert ages is not None
    assert now - dt.timedelta(days=5) < ages[0] < ages[1] <= now
    strange = """
        SELECT count(*) FROM analytics_events
        WHERE uuid_extract_timestamp(id) <> created_at OR uuid_extract_version(id) <> 7
           OR date_trunc('milliseconds', created_at) <> created_at"""
    assert await value(strange) == 0
    assert await value("SELECT count(DISTINCT substr(id::text, 20)) FROM analytics_events") == 4
    for event_type, least, most in (("page_view", 0.5, 0.6), ("button_click", 0.15, 0.25)):
        found = await value(
            "SELECT count(*) FROM analytics_events WHERE event_type = $1", event_type
        )
        assert least * 2000 < found < most * 2000
    clicks = "SELECT count(*) FROM analytics_events WHERE event_type = 'button_click'"
    assert await value("SELECT count(*) FROM event_places") == await value(clicks)
    async with open_stores(
        config_factory(), urls.database, urls.redis, Metrics(), utc_now
    ) as stores:
        await stores.mirror.rebuild()
        assert await stores.verifier.verify() == []
