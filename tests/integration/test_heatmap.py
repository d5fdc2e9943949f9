"""The heatmap has its own table: the same numbers as the events give, no row kept for longer."""

from __future__ import annotations

import datetime as dt
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.background.cleanup import Cleanup
from maicivy.ingest.batch import batch_arguments
from maicivy.ingest.event import Fields, make_event
from maicivy.metrics import Metrics
from maicivy.periods import Moment, utc_now
from maicivy.reports import heatmap
from maicivy.reports.source import Source
from maicivy.storage.migrations import load_migrations
from maicivy.storage.stores import open_stores
from tests.conftest import API, get_data, send_event
from tests.integration.test_me import forget, post
from tests.integration.test_writer import UTC, visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from maicivy.config import Config
    from maicivy.storage.stores import Stores
    from tests.conftest import Client, Database, FakeClock, Urls

# What the heatmap was before it had a table: the places of events, grouped.
FROM_EVENTS = """
SELECT x, y, count(*) AS count
FROM (
    SELECT
        CASE jsonb_typeof(event_data -> 'x')
            WHEN 'number' THEN round((event_data ->> 'x')::numeric) END AS x,
        CASE jsonb_typeof(event_data -> 'y')
            WHEN 'number' THEN round((event_data ->> 'y')::numeric) END AS y
    FROM analytics_events
    WHERE created_at >= $1
      AND ($2::text IS NULL OR page_url = $2)
      AND ($3::text IS NULL OR split_part(split_part(page_url, '#', 1), '?', 1) = $3)
) AS places
WHERE abs(x) < 2147483648 AND abs(y) < 2147483648
GROUP BY x, y
ORDER BY count DESC, x, y
LIMIT 10000
"""
PAGES = (
    None, "", "/", "/cv", "/cv?theme=a", "/cv?theme=b", "/cv#top", "/cv?a=?b", "/cv?a#b?c",
    "/cv#a?b",
    "#/app", "?a", "/é?ü=ñ", "https://a.example/cv?b", "/cv/", "/CV",
)  # fmt: skip
ODD: tuple[Any, ...] = (
    0.5, 1.5, 2.5, -0.5, -1.5, 1e-300, 1e300, -1e300, 2**31 - 1, 2**31, -(2**31), 2**31 - 0.5,
    2147483647.4, -2147483648.4, 1e40, 10**18, "5", "", None, True, [1], {"x": 1}, -0.0,
)  # fmt: skip


@pytest.fixture
async def stores(
    urls: Urls, clock: FakeClock, config_factory: Callable[..., Config]
) -> AsyncIterator[Stores]:
    async with open_stores(config_factory(), urls.database, urls.redis, Metrics(), clock) as opened:
        yield opened


async def store(stores: Stores, count: int, seed: int = 1) -> None:
    """Store random events of the last ten days."""
    draw = random.Random(seed)
    events, days = [], set()
    for number in range(count):
        at = utc_now() - dt.timedelta(days=draw.choice((0, 0, 1, 6, 9)), seconds=draw.random())
        days.add(at.date())
        data = {name: draw.choice((draw.randrange(3), draw.uniform(-3, 3), draw.choice(ODD)))
                for name in draw.choice((("x", "y"), ("x", "y"), ("x",), ("y",), ()))}  # fmt: skip
        fields = Fields("x", draw.choice((data, data, None)), draw.choice(PAGES))
        events.append(make_event(fields, visitor(number % 5), Moment.of(at, UTC)))
    await stores.partitions.ensure(days)
    for first in range(0, count, 500):
        batch = events[first : first + 500]
        await stores.postgres.write("insert_batch", *batch_arguments(batch))


def cleanup_of(stores: Stores, retention_days: int) -> Cleanup:
    return Cleanup(
        postgres=stores.postgres,
        partitions=stores.partitions,
        visits=stores.visits,
        mirror=None,
        metrics=Metrics(),
        clock=utc_now,
        zone=UTC,
        retention_days=retention_days,
    )


async def test_places_are_those_of_the_events(stores: Stores, database: Database) -> None:
    await store(stores, 3000)
    source = Source(stores.postgres, stores.realtime, stores.visits, utc_now, UTC)
    found = 0
    for hours in (1, 24, 168):
        since = utc_now() - dt.timedelta(hours=hours)
        for exact, path in [(None, None), *((page, None) for page in PAGES if page is not None),
                            *((None, page) for page in PAGES if page is not None)]:  # fmt: skip
            rows = await database.fetch(FROM_EVENTS, since, exact, path)
            expected = [{"x": int(r["x"]), "y": int(r["y"]), "count": r["count"]} for r in rows]
            points = await heatmap.points(source, exact, path, hours)
            assert json.loads(points.json) == expected, (hours, exact, path)
            assert points.count == len(expected)
            found += points.count
    assert found > 1000


async def test_ten_thousand_points_at_most(stores: Stores) -> None:
    events = [
        make_event(Fields("x", {"x": n, "y": 0}), visitor(), Moment.of(utc_now(), UTC))
        for n in range(10_001)
    ]
    events.append(
        make_event(Fields("x", {"x": 10_000, "y": 0}), visitor(), Moment.of(utc_now(), UTC))
    )
    for first in range(0, len(events), 500):
        batch = events[first : first + 500]
        await stores.postgres.write("insert_batch", *batch_arguments(batch))
    source = Source(stores.postgres, stores.realtime, stores.visits, utc_now, UTC)
    points = await heatmap.points(source, None, None, 1)
    listed = json.loads(points.json)
    assert points.count == len(listed) == 10_000
    assert listed[0] == {"x": 10_000, "y": 0, "count": 2}
    assert listed[-1] == {"x": 9_998, "y": 0, "count": 1}


async def test_the_migration_finds_the_places_of_earlier_events(
    stores: Stores, database: Database
) -> None:
    await store(stores, 1000)
    places = """
        SELECT created_at, visitor_id, x, y, path, rest FROM event_places
        WHERE created_at > now() - interval '7 days'
        ORDER BY created_at, visitor_id, x, y, path, rest"""
    written = await database.fetch(places)
    assert len(written) > 100
    await database.execute("DROP TABLE event_places; DROP FUNCTION event_coordinate CASCADE")
    [migration] = [one for one in load_migrations() if one.name.endswith("event_places")]
    await database.execute(migration.sql)
    assert await database.fetch(places) == written
    oldest = await database.fetchval("SELECT min(created_at) FROM event_places")
    assert oldest > utc_now() - dt.timedelta(days=8)


async def test_an_event_that_is_repeated_has_one_place(stores: Stores, database: Database) -> None:
    one = make_event(Fields("x", {"x": 1, "y": 2}, "/cv"), visitor(), Moment.of(utc_now(), UTC))
    for _ in range(2):
        await stores.postgres.write("insert_batch", *batch_arguments([one]))
    assert await database.fetchval("SELECT count(*) FROM event_places") == 1


@pytest.mark.parametrize(("retention_days", "kept_days"), [(90, 8), (2, 2)])
async def test_places_leave_after_eight_days_or_with_the_retention(
    stores: Stores, database: Database, retention_days: int, kept_days: int
) -> None:
    await store(stores, 3000)
    kept = "SELECT count(*) FROM event_places WHERE created_at >= $1"
    cutoff = utc_now() - dt.timedelta(days=kept_days)
    expected = await database.fetchval(kept, cutoff)
    assert await cleanup_of(stores, retention_days).run_once() is not None
    assert await database.fetchval("SELECT count(*) FROM event_places") == expected
    assert await database.fetchval(kept, cutoff) == expected > 0


async def test_the_places_of_whoever_is_forgotten_go(client: Client, database: Database) -> None:
    mine = await post(client, event_data={"x": 1, "y": 1}, page_url="/cv")
    await post(client, mine, event_data={"x": 2, "y": 2})
    await post(client, event_data={"x": 3, "y": 3})
    await forget(client, mine)
    places = await database.fetch("SELECT x FROM event_places")
    assert [place["x"] for place in places] == [3]


async def test_viewports_of_a_width(client: Client) -> None:
    for x, width in ((1, 390), (2, 900), (3, 1440), (4, None)):
        data = {"x": x, "y": 0} | ({"width": width} if width else {})
        await send_event(client, "click", page_url="/cv", event_data=data)
    for query, expected in (
        ("", {1, 2, 3, 4}),
        ("max_width=575", {1}),
        ("min_width=576&max_width=1439", {2}),
        ("page_url=/cv&min_width=900", {2, 3}),
    ):
        points = await get_data(client, f"heatmap?{query}")
        assert {point["x"] for point in points} == expected, query
    response = await client.get(f"{API}/heatmap?min_width=wide")
    assert response.status == 400
    assert "min_width" in (await response.json())["error"]
