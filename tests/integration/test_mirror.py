"""Redis as a copy: lost, flushed, old or damaged, it is right again by itself."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from maicivy.periods import Period, utc_now
from maicivy.storage.verify import Difference, Truth, differences
from tests.conftest import (
    Client,
    ClientFactory,
    Database,
    FakeClock,
    get_data,
    realtime_of,
    send_event,
    stores_of,
    until,
)

PARIS = ZoneInfo("Europe/Paris")


async def some_traffic(client: Client) -> None:
    for n in range(6):
        await send_event(client, headers={"User-Agent": f"curl/{n % 4}"})
        client.session.cookie_jar.clear()
    await send_event(client, "letter_generate", event_data={"letter_type": "motivation"})
    await send_event(client, "cv_theme_change", event_data={"theme": "backend"})


async def test_all_numbers_agree_after_traffic(client: Client) -> None:
    await some_traffic(client)
    assert await stores_of(client).verifier.verify() == []


async def test_a_flushed_redis_is_never_believed_and_soon_full(
    client: Client, redis_client: Any
) -> None:
    await some_traffic(client)
    before = [await get_data(client, path) for path in ("realtime", "stats?period=week", "themes")]
    await redis_client.flushall()
    realtime_of(client).changes.note()  # as if the second of shared answers were over
    after = [await get_data(client, path) for path in ("realtime", "stats?period=week", "themes")]
    before[0].pop("timestamp")
    after[0].pop("timestamp")
    assert after == before
    await until(lambda: realtime_of(client).trusted, 6)
    assert await redis_client.exists("analytics:epoch") == 1
    assert await stores_of(client).verifier.verify() == []


@pytest.mark.parametrize(
    "damage",
    ["unique:week", "unique:day", "total_events", "letters_generated", "themes", "visitors"],
)
async def test_one_lost_key_is_noticed_and_comes_back(
    client: Client, redis_client: Any, damage: str
) -> None:
    await some_traffic(client)
    names = [name async for name in redis_client.scan_iter(f"analytics:*{damage}*")]
    assert names
    await redis_client.delete(*names)
    found = await stores_of(client).verifier._compare()
    assert {one.name.split("[")[0] for one in found} == set(names)
    if damage in {"themes", "visitors"}:
        realtime_of(client).distrust()
    await stores_of(client).mirror.check()
    assert await stores_of(client).verifier.verify() == []


async def test_an_old_copy_with_the_right_marker_is_not_believed(
    make_client: ClientFactory, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump that is older than the last events carries the epoch of another run of Redis."""
    client = await make_client()
    await some_traffic(client)
    mirror = stores_of(client).mirror
    epoch = await redis_client.get("analytics:epoch")
    database_id, generation, run_id = epoch.split(":")
    assert run_id == (await redis_client.info("server"))["run_id"]
    await redis_client.delete(f"analytics:stats:day:{utc_now().date()}:total_events")
    await redis_client.set("analytics:epoch", f"{database_id}:{generation}:{'0' * 40}")
    await mirror.check()
    assert await redis_client.get("analytics:epoch") == epoch
    assert await stores_of(client).verifier.verify() == []


async def test_the_numbers_of_another_database_are_deleted(
    client: Client, redis_client: Any
) -> None:
    await some_traffic(client)
    day = utc_now().date()
    await redis_client.set("analytics:epoch", "00000000-0000-0000-0000-000000000000:x")
    await redis_client.set(f"analytics:stats:day:{day}:total_events", 999_999)
    await redis_client.zadd("analytics:themes:top", {"foreign": 5})
    await redis_client.set("neighbour", 1)
    await stores_of(client).mirror.check()
    assert await redis_client.get(f"analytics:stats:day:{day}:total_events") == "8"
    assert await redis_client.zscore("analytics:themes:top", "foreign") is None
    assert await redis_client.get("neighbour") == "1"


async def test_numbers_that_are_too_high_are_seen_and_mended(
    client: Client, redis_client: Any
) -> None:
    """A database that came back from a backup has counted less than Redis was told."""
    await some_traffic(client)
    stores = stores_of(client)
    name = f"analytics:stats:day:{utc_now().date()}:total_events"
    await redis_client.incrby(name, 100)
    assert await stores.verifier._compare() == [Difference(name, 108, 8)]
    await stores.mirror.check()
    assert await stores.verifier.verify() == []
    await redis_client.zincrby("analytics:themes:top", 7, "backend")
    await stores.mirror.rebuild()
    assert await stores.verifier.verify() == []


async def test_a_rollup_that_miscounts_is_seen(client: Client, database: Database) -> None:
    await some_traffic(client)
    verifier = stores_of(client).verifier
    assert await verifier._compare() == []
    await database.execute("UPDATE rollup_values SET letters = letters + 1 WHERE dimension = 'all'")
    letters = await database.fetchval(
        "SELECT sum(letters) FROM rollup_periods WHERE period = 'day'"
    )
    name = f"letters of {utc_now().date()}"
    assert await verifier._compare() == [Difference(name, letters + 1, letters, "rollups")]


async def test_writes_that_were_missed_are_brought_in(
    client: Client, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_traffic(client)
    realtime = realtime_of(client)
    client.session.cookie_jar.clear()
    for _ in range(3):
        realtime._breaker.failed()
        await send_event(client, headers={"User-Agent": "wget/1"})
    numbers = await get_data(client, "realtime")
    assert (numbers["total_events"], numbers["unique_today"]) == (11, 6)
    await until(lambda: realtime.trusted, 6)
    assert await stores_of(client).verifier.verify() == []


async def test_a_redis_that_cannot_write_is_not_believed(client: Client, redis_client: Any) -> None:
    await some_traffic(client)
    await redis_client.config_set("maxmemory", 1)
    try:
        await send_event(client)
        assert (await get_data(client, "realtime"))["total_events"] == 9
        assert (await get_data(client, "stats?period=day"))["total_events"] == 9
    finally:
        await redis_client.config_set("maxmemory", 0)
    await until(lambda: realtime_of(client).trusted, 6)
    assert await stores_of(client).verifier.verify() == []


async def test_closed_days_survive_in_sketches(
    make_client: ClientFactory, database: Database, redis_client: Any, clock: FakeClock
) -> None:
    start = dt.datetime(2026, 11, 2, 12, tzinfo=dt.UTC)  # a Monday
    clock.freeze(start)
    client = await make_client(trusted=False, timezone=PARIS)
    for day in range(9):
        clock.freeze(start + dt.timedelta(days=day))
        for n in range(day + 1):
            await send_event(client, headers={"User-Agent": f"curl/{n}"})
            client.session.cookie_jar.clear()
    stores = stores_of(client)
    await stores.mirror.sketch_closed_days()
    assert await database.fetchval("SELECT count(*) FROM unique_sketches") == 8
    # the rows go, as they do after 90 days, long after they were folded; the sketches stay
    await stores.visits.fold_all()
    await database.execute("DELETE FROM analytics_events WHERE created_at < '2026-11-09'")
    await redis_client.flushall()
    await stores.mirror.check()

    async def unique(period: Period, day: str) -> int:
        key = f"analytics:visitors:unique:{period}:{period.key(dt.date.fromisoformat(day))}"
        return int(await redis_client.pfcount(key))

    assert await unique(Period.DAY, "2026-11-05") == 4
    # A new hash every day. Two of so many may share a register of the sketch, hence the tolerance.
    assert await unique(Period.WEEK, "2026-11-02") == pytest.approx(sum(range(1, 8)), abs=3)
    assert await unique(Period.MONTH, "2026-11-01") == pytest.approx(sum(range(1, 10)), abs=3)
    ttl = await redis_client.ttl("analytics:visitors:unique:day:2026-11-05")
    assert ttl == pytest.approx((90 - 5) * 86_400, abs=60)
    assert await stores.verifier.verify() == []


@pytest.mark.parametrize(
    ("before", "truth", "after", "names"),
    [
        ({"a": 1}, {"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, {"a": 3}, []),
        ({}, {"a": 2}, {"a": 2}, []),
        ({"a": 1}, {"a": 2}, {"a": 1}, ["a"]),
        ({"a": 3}, {"a": 2}, {"a": 3}, ["a"]),
        ({"a": 1}, {}, {"a": 1}, ["a"]),
        ({}, {"a": 1}, {}, ["a"]),
        ({}, {"old": 1}, {}, []),
        ({"old": 1}, {"old": 2}, {"old": 1}, ["old"]),
        ({"gone": 1}, {}, {}, []),
    ],
)
def test_differences(
    before: dict[str, int], truth: dict[str, int], after: dict[str, int], names: list[str]
) -> None:
    found = differences(before, Truth(truth, {"old"}), after)
    assert [one.name for one in found] == names
