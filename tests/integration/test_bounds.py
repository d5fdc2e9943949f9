"""One stuck dependency holds nobody up: every wait has a bound."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from maicivy.errors import NotTried
from maicivy.web import keys
from tests.conftest import API, Client, Database, first_cleanup, get_data, send_event, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from maicivy.storage.postgres import Postgres


@contextlib.asynccontextmanager
async def stuck(postgres: Postgres, pool: str) -> AsyncIterator[None]:
    """Have every connection of a pool asleep in PostgreSQL while the block runs."""
    borrow = postgres.reading if pool == "reads" else postgres.writing
    kept, postgres._kept = postgres._kept, None
    await postgres._release(kept)
    size = getattr(postgres, f"_{pool}").get_max_size()
    asleep = 0

    async def sleep() -> None:
        nonlocal asleep
        async with borrow() as connection:
            asleep += 1
            await connection.execute("SET LOCAL statement_timeout = 0; SELECT pg_sleep(60)")

    async def fall_asleep() -> None:
        """Try until there is a connection: the cleanup of the start may still have one."""
        while True:
            with contextlib.suppress(NotTried):
                await sleep()

    tasks = [asyncio.create_task(fall_asleep()) for _ in range(size)]
    await until(lambda: asleep == size)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def started(client: Client, database: Database) -> None:
    """Wait until what is done at the start is done: Redis is filled, the cleanup has run."""
    await first_cleanup(database)
    await until(lambda: client.app[keys.REALTIME].trusted)


async def test_stuck_reports_do_not_hold_events_up(client: Client, database: Database) -> None:
    await started(client, database)
    async with stuck(client.app[keys.POSTGRES], "reads"):
        for _ in range(5):
            await asyncio.wait_for(send_event(client), 2)
        assert (await get_data(client, "realtime"))["total_events"] == 5
        response = await asyncio.wait_for(client.get(f"{API}/timeline"), 6)
        assert (response.status, (await response.json())["code"]) == (503, "unavailable")
        assert "Retry-After" in response.headers
    assert len(await get_data(client, "timeline")) == 5


async def test_a_stuck_writer_is_answered_within_its_bound(
    client: Client, database: Database
) -> None:
    await started(client, database)
    await send_event(client)
    async with stuck(client.app[keys.POSTGRES], "writes"):
        post = client.post(f"{API}/event", json={"event_type": "x"})
        response = await asyncio.wait_for(post, 9)
        # there is no connection, so nothing can have happened
        assert (response.status, (await response.json())["code"]) == (503, "database_unavailable")
        # who comes now does not wait any more
        again = await asyncio.wait_for(client.post(f"{API}/event", json={"event_type": "x"}), 1)
        assert (again.status, (await again.json())["code"]) == (503, "database_unavailable")
        assert (await get_data(client, "realtime"))["total_events"] == 1
        assert len(await get_data(client, "timeline")) == 1
    await until(lambda: client.app[keys.WRITER].available)
    await send_event(client)
    assert (await get_data(client, "realtime"))["total_events"] == 2
