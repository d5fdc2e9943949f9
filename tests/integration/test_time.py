"""One timestamp per event decides its row, its partition and every bucket."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from maicivy.web import keys
from tests.conftest import ClientFactory, Database, FakeClock, get_data, send_event, until

PARIS = ZoneInfo("Europe/Paris")
LAST = dt.datetime(2026, 12, 31, 23, 59, 59, 900_000, tzinfo=PARIS)
MOTIVATION = {"event_data": {"letter_type": "motivation"}}
ANTI = {"event_data": {"letter_type": "anti_motivation"}}


async def test_new_year_in_paris(
    make_client: ClientFactory, database: Database, redis_client: Any, clock: FakeClock
) -> None:
    clock.freeze(LAST.astimezone(dt.UTC))
    client = await make_client(timezone=PARIS)
    await send_event(client, "letter_generate", **MOTIVATION)
    clock.advance(seconds=0.2)
    await send_event(client, "letter_generate", **ANTI)

    rows = await database.fetch("SELECT day, letter_type FROM rollup_letters ORDER BY day")
    assert [tuple(row) for row in rows] == [
        (dt.date(2026, 12, 31), "motivation"),
        (dt.date(2027, 1, 1), "anti_motivation"),
    ]
    for key, letters in (
        ("day:2026-12-31", "1"),
        ("day:2027-01-01", "1"),
        ("week:2026-W53", "2"),
        ("month:2026-12", "1"),
        ("month:2027-01", "1"),
    ):
        assert await redis_client.get(f"analytics:stats:{key}:letters_generated") == letters
        assert await redis_client.pfcount(f"analytics:visitors:unique:{key}") == 1
    keys_made = await redis_client.keys("analytics:stats:*")
    assert len(keys_made) == 10

    # both instants are on one UTC day, and so in one partition
    partitions = await database.fetch(
        "SELECT DISTINCT tableoid::regclass::text FROM analytics_events"
    )
    assert [row[0] for row in partitions] == ["analytics_events_p20261231"]

    for period, key, total in (
        ("day", "2027-01-01", 1),
        ("week", "2026-W53", 2),
        ("month", "2027-01", 1),
    ):
        stats = await get_data(client, f"stats?period={period}")
        assert (stats["period_key"], stats["letters_generated"]) == (key, total)
        letters_data = await get_data(client, f"letters?period={period}")
        assert letters_data["total"] == total == sum(d["count"] for d in letters_data["history"])
        assert letters_data["unique_visitors"] == stats["unique_visitors"] == 1
    history = (await get_data(client, "letters?period=week"))["history"]
    assert [day["date"] for day in history] == [
        "2026-12-28",
        "2026-12-29",
        "2026-12-30",
        "2026-12-31",
        "2027-01-01",
    ]
    assert [day["count"] for day in history] == [0, 0, 0, 1, 1]
    assert await client.app[keys.STORES].verifier.verify() == []


async def test_the_pseudonym_and_the_cookieless_identity_change_at_local_midnight(
    make_client: ClientFactory, database: Database, clock: FakeClock
) -> None:
    clock.freeze(LAST.astimezone(dt.UTC))
    client = await make_client(trusted=False, timezone=PARIS)
    await send_event(client, "before")
    clock.advance(seconds=0.2)
    await send_event(client, "same_cookie")
    client.session.cookie_jar.clear()
    await send_event(client, "no_cookie")
    events = {event["event_type"]: event for event in await get_data(client, "timeline")}
    assert len({event["visitor_id"] for event in events.values()}) == 3
    assert await database.fetchval("SELECT count(*) FROM visitors") == 2
    stored = {str(row["id"]) for row in await database.fetch("SELECT id FROM visitors")}
    assert not stored & {event["visitor_id"] for event in events.values()}


@pytest.mark.parametrize("redis", [None, "unix:///nowhere/redis.sock"], ids=["redis", "postgres"])
async def test_a_visitor_is_active_for_five_minutes_of_their_own(
    make_client: ClientFactory, clock: FakeClock, redis: str | None
) -> None:
    clock.freeze(dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC))
    client = await make_client(redis=redis, trusted=redis is None)

    async def current() -> int:
        return int((await get_data(client, "realtime"))["current_visitors"])

    await send_event(client, headers={"User-Agent": "curl/1"})
    clock.advance(minutes=3)
    client.session.cookie_jar.clear()
    await send_event(client, headers={"User-Agent": "curl/2"})
    assert await current() == 2
    clock.advance(seconds=119)
    assert await current() == 2
    clock.advance(seconds=1)
    assert await current() == 1
    clock.advance(minutes=3)
    assert await current() == 0
    assert (await get_data(client, "realtime"))["unique_today"] == 2


async def test_yesterdays_numbers_are_not_todays(
    make_client: ClientFactory, clock: FakeClock
) -> None:
    clock.freeze(dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC))
    client = await make_client(trusted=False)
    await send_event(client, "letter_generate", **MOTIVATION)
    clock.advance(days=1)
    numbers = await get_data(client, "realtime")
    assert (numbers["total_events"], numbers["letters_today"], numbers["unique_today"]) == (0, 0, 0)
    week = await get_data(client, "stats?period=week")
    assert (week["total_events"], week["unique_visitors"], week["conversion_rate"]) == (1, 1, 1.0)


@pytest.mark.parametrize("jump", [{"hours": 1}, {"hours": -1}, {"days": 1}, {"days": -1}], ids=str)
async def test_a_wall_clock_that_jumps_loses_and_doubles_nothing(
    make_client: ClientFactory, database: Database, clock: FakeClock, jump: dict[str, int]
) -> None:
    clock.freeze(dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC))
    client = await make_client()
    verifier = client.app[keys.STORES].verifier
    names = [str(uuid.uuid4()) for _ in range(6)]

    async def send_all(agent: str) -> None:
        for name in names:
            await send_event(client, event_id=name, headers={"User-Agent": agent})
            await send_event(client, "letter_generate", headers={"User-Agent": agent}, **MOTIVATION)

    await send_all("curl/1")
    clock.advance(**jump)
    client.session.cookie_jar.clear()
    await send_all("curl/2")
    assert await verifier.verify() == []
    clock.advance(**{unit: -amount for unit, amount in jump.items()})
    await send_all("curl/1")

    async def agreed() -> bool:
        return not await verifier.verify()

    await until(agreed)  # who was purged by the clock ahead is missed and brought back
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 6 + 18
    assert await database.fetchval("SELECT sum(events) FROM rollup_events") == 24
    numbers = await get_data(client, "stats?period=month")
    assert (numbers["total_events"], numbers["letters_generated"]) == (24, 18)
    assert numbers["unique_visitors"] == await database.fetchval("SELECT count(*) FROM visitors")
