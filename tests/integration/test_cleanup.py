"""The nightly cleanup: what goes, what stays, and who may wait for whom."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from maicivy.background.cleanup import Cleanup
from maicivy.errors import StorageUnavailable
from maicivy.ingest.batch import batch_arguments
from maicivy.ingest.event import Fields, make_event
from maicivy.metrics import Metrics
from maicivy.periods import Moment
from maicivy.storage import partitions
from maicivy.storage.stores import Stores, open_stores
from tests.conftest import Database, FakeClock, Urls, until
from tests.integration.test_writer import visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from maicivy.config import Config

PARIS = ZoneInfo("Europe/Paris")
NOW = dt.datetime(2026, 11, 24, 1, 0, tzinfo=dt.UTC)  # 02:00 in Paris


class Bench:
    """A cleanup on real stores at a frozen time."""

    def __init__(self, stores: Stores, clock: FakeClock) -> None:
        self.stores, self.clock, self.metrics = stores, clock, Metrics()
        self.cleanup = Cleanup(
            postgres=stores.postgres,
            partitions=stores.partitions,
            visits=stores.visits,
            mirror=stores.mirror,
            metrics=self.metrics,
            clock=clock,
            zone=PARIS,
            retention_days=90,
        )

    async def store(self, age_days: float, number: int = 1) -> None:
        """Store an event of that age."""
        instant = NOW - dt.timedelta(days=age_days)
        await self.stores.partitions.ensure([instant.date()])
        stored = [make_event(Fields("x"), visitor(number), Moment.of(instant, PARIS))]
        await self.stores.postgres.write("insert_batch", *batch_arguments(stored))


@pytest.fixture
async def bench(
    urls: Urls, clock: FakeClock, config_factory: Callable[..., Config]
) -> AsyncIterator[Bench]:
    clock.freeze(NOW)
    config = config_factory(timezone=PARIS)
    async with open_stores(config, urls.database, urls.redis, Metrics(), clock) as stores:
        yield Bench(stores, clock)


async def test_what_is_past_ninety_days_goes_and_the_rest_stays(
    bench: Bench, database: Database
) -> None:
    for number, age in enumerate((200, 91.5, 90.01, 89.99, 30, 0.5), start=1):
        await bench.store(age, number)
    progress: list[str] = []
    removed = await bench.cleanup.run_once(progress.append)
    assert removed is not None
    assert (removed.partitions, removed.events, removed.visitors) == (2, 1, 3)
    assert await database.fetchval("SELECT min(created_at) FROM events") > (
        NOW - dt.timedelta(days=90)
    )
    assert await database.fetchval("SELECT count(*) FROM events") == 3
    assert await database.fetchval("SELECT count(*) FROM visitors") == 3
    assert await database.fetchval("SELECT sum(events) FROM rollup_events") == 6
    assert any("deleted" in line for line in progress)


async def test_a_visitor_who_came_back_stays(bench: Bench, database: Database) -> None:
    await bench.store(100)
    await bench.store(1)
    await bench.cleanup.run_once()
    assert await database.fetchval("SELECT count(*) FROM visitors") == 1
    assert await database.fetchval("SELECT first_visit FROM visitors") < NOW - dt.timedelta(days=99)


async def test_closed_days_are_sketched(bench: Bench, database: Database) -> None:
    await bench.store(3)
    await bench.store(0)
    await bench.cleanup.run_once()
    rows = await database.fetch("SELECT day, sketch FROM unique_sketches")
    assert [row["day"] for row in rows] == [dt.date(2026, 11, 21)]
    assert rows[0]["sketch"].startswith(b"HYLL")


async def test_every_run_is_logged_and_an_interrupted_one_too(
    bench: Bench, database: Database
) -> None:
    await database.execute("INSERT INTO cleanup_runs (started_at, status) VALUES ($1, 'running')",
                           NOW - dt.timedelta(days=1))  # fmt: skip
    await bench.store(91.5)
    await bench.cleanup.run_once()
    rows = await database.fetch("SELECT * FROM cleanup_runs ORDER BY id")
    assert [(row["status"], row["error"]) for row in rows] == [
        ("failed", "interrupted"),
        ("done", None),
    ]
    assert rows[1]["partitions_dropped"] == 1
    sample = bench.metrics.registry.get_sample_value
    assert sample("maicivy_cleanup_duration_seconds_count") == 1


async def test_only_one_instance_cleans(bench: Bench, database: Database) -> None:
    await database.execute(bench.stores.postgres.statement("lock_cleanup"))
    assert await bench.cleanup.run_once() is None
    await database.execute(bench.stores.postgres.statement("unlock_cleanup"))
    assert await bench.cleanup.run_once() is not None
    assert await bench.cleanup.run_once() is not None


async def test_a_long_reader_delays_the_drop_but_never_an_insert(
    bench: Bench, urls: Urls, database: Database
) -> None:
    await bench.store(91.5)
    reader = await asyncpg.connect(urls.database)
    transaction = reader.transaction()
    await transaction.start()
    await reader.fetch("SELECT count(*) FROM analytics_events, visitors")
    cleaning = asyncio.create_task(bench.cleanup.run_once())
    slowest = 0.0
    for _ in range(15):
        started = time.perf_counter()
        await bench.store(0)
        slowest = max(slowest, time.perf_counter() - started)
        await asyncio.sleep(0.05)
    assert not cleaning.done()
    # A bound, not a speed: the lock is asked for during 0.1 s at most, the reader holds it longer.
    assert slowest < 1
    await transaction.rollback()
    await reader.close()
    removed = await cleaning
    assert removed is not None
    assert removed.partitions == 1
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 15


async def test_a_drop_that_never_gets_its_lock_is_left_to_the_next_run(
    bench: Bench, urls: Urls, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "DROP_TRIES", 2)
    await bench.store(91.5)
    reader = await asyncpg.connect(urls.database)
    async with reader.transaction():
        await reader.fetch("SELECT count(*) FROM analytics_events")
        with pytest.raises(StorageUnavailable):
            await bench.cleanup.run_once()
    await reader.close()
    assert await database.fetchval("SELECT status FROM cleanup_runs") == "failed"
    removed = await bench.cleanup.run_once()
    assert removed is not None
    assert removed.partitions == 1


async def test_the_scheduler_makes_up_for_a_missed_night_and_waits_for_the_next(
    bench: Bench, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    count = "SELECT count(*) FROM cleanup_runs WHERE status = 'done'"
    bench.clock.freeze(NOW + dt.timedelta(hours=5))
    task = asyncio.create_task(bench.cleanup.run())

    async def runs(expected: int) -> bool:
        return bool(await database.fetchval(count) == expected)

    await until(lambda: runs(1))
    assert "Starting analytics cleanup scheduler" in caplog.text
    await asyncio.sleep(0.1)
    assert await runs(1)
    task.cancel()
    bench.clock.freeze(NOW + dt.timedelta(days=1, seconds=-1))
    task = asyncio.create_task(bench.cleanup.run())
    await asyncio.sleep(0.6)
    assert await runs(1)
    bench.clock.freeze(NOW + dt.timedelta(days=1, seconds=1))
    await until(lambda: runs(2))
    task.cancel()


async def test_many_visitors_go_in_bites(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maicivy.background.cleanup.BITE_VISITORS", 7)
    for number in range(20):
        await bench.store(90.5, number)
    removed = await bench.cleanup.run_once()
    assert removed is not None
    assert removed.visitors == 20
    assert await database.fetchval("SELECT count(*) FROM visitors") == 0


async def test_partitions_are_made_a_week_ahead(bench: Bench) -> None:
    names = await bench.stores.partitions.names()
    days = [partitions.partition_day(name) for name in names]
    today = NOW.date()
    assert days == [today + dt.timedelta(days=n) for n in range(-1, 8)]
    assert partitions.partition_day("something_else") is None


async def test_a_redis_that_is_away_does_not_stop_the_cleanup(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> int:
        raise StorageUnavailable("away")

    monkeypatch.setattr(type(bench.stores.mirror), "sketch_closed_days", away)
    await bench.store(91.5)
    removed = await bench.cleanup.run_once()
    assert removed is not None
    assert removed.partitions == 1


async def test_who_comes_when_another_has_just_finished_leaves_it_at_that(
    bench: Bench, database: Database
) -> None:
    assert await bench.cleanup.run_once(when_due=True) is not None
    assert await bench.cleanup.run_once(when_due=True) is None
    assert await database.fetchval("SELECT count(*) FROM cleanup_runs") == 1
    bench.clock.advance(days=1)
    assert await bench.cleanup.run_once(when_due=True) is not None
