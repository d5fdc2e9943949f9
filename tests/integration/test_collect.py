"""From a request to a row, and to every number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conftest import API, Client, get_data, send_event

if TYPE_CHECKING:
    import asyncpg


async def test_an_event_is_stored_and_counted_at_once(
    client: Client, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    await send_event(client, event_data={"button": "cta", "x": 450, "y": 200}, page_url="/cv")
    [row] = await database.fetch("SELECT event_type, page_url FROM analytics_events")
    assert (row["event_type"], row["page_url"]) == ("button_click", "/cv")
    numbers = await get_data(client, "realtime")
    assert numbers["total_events"] == numbers["unique_today"] == numbers["current_visitors"] == 1


async def test_an_opted_out_visitor_leaves_no_trace(
    client: Client, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    for header in ("DNT", "Sec-GPC"):
        response = await client.post(
            f"{API}/event", json={"event_type": "x"}, headers={header: "1"}
        )
        assert response.status == 202
        assert (await response.json())["reason"] == "opt_out"
        assert "Set-Cookie" not in response.headers
    assert await database.fetchval("SELECT count(*) FROM visitors") == 0
