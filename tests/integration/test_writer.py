"""Group commit: batches, refusals, lost replies, a database that goes away."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from maicivy.errors import InvalidRequest, StorageUnavailable, Unavailable
from maicivy.ingest.batch import batch_arguments
from maicivy.ingest.event import Event, Fields, make_event
from maicivy.ingest.ledger import Ledger
from maicivy.ingest.visitor import Visitor
from maicivy.ingest.writer import Writer
from maicivy.metrics import Metrics
from maicivy.periods import Moment, Period, utc_now
from maicivy.storage.event_keys import forget_event_keys
from maicivy.storage.stores import Stores, open_stores
from maicivy.storage.totals import Totals, write_totals
from tests.conftest import Database, FakeClock, Urls, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

UTC = ZoneInfo("UTC")


def visitor(number: int = 1) -> Visitor:
    identity = str(uuid.UUID(int=number))
    return Visitor(identity, identity, "0" * 64, "Chrome", "Linux", "desktop", "fr")


def event(event_type: str = "x", number: int = 1, **fields: Any) -> Event:
    return make_event(Fields(event_type, **fields), visitor(number), Moment.of(utc_now(), UTC))


def poison() -> Event:
    """Make an event that PostgreSQL refuses: it holds a byte that no text may have."""
    return event()._replace(page_url="/\x00")


class Bench:
    """A writer on real stores, its task running."""

    def __init__(self, stores: Stores, metrics: Metrics, clock: FakeClock) -> None:
        self.stores, self.metrics = stores, metrics
        self.delivered: list[str] = []
        self.ledger = Ledger(metrics, clock())
        self.writer = Writer(
            postgres=stores.postgres,
            partitions=stores.partitions,
            realtime=stores.realtime,
            metrics=metrics,
            ledger=self.ledger,
            clock=clock,
            queue_size=50,
            batch_size=20,
            deliver=lambda messages, _: self.delivered.extend(messages),
            observe=lambda _: None,
        )

    def dropped(self, reason: str) -> float:
        value = self.metrics.registry.get_sample_value(
            "maicivy_events_dropped_total", {"reason": reason}
        )
        return value or 0.0


@pytest.fixture
async def bench(urls: Urls, clock: FakeClock, config_factory: Any) -> AsyncIterator[Bench]:
    metrics = Metrics()
    async with open_stores(config_factory(), urls.database, urls.redis, metrics, clock) as stores:
        bench = Bench(stores, metrics, clock)
        task = asyncio.create_task(bench.writer.run())
        yield bench
        await bench.writer.close()
        task.cancel()
        await asyncio.wait([task])


def lose_first_reply(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have the first batch committed and its reply lost; the list returned is then not empty."""
    write = bench.stores.postgres.write
    lost: list[str] = []

    async def lossy(name: str, *values: Any) -> Any:
        rows = await write(name, *values)
        if name == "insert_batch" and not lost:
            lost.append(name)
            raise StorageUnavailable("the reply was lost")
        return rows

    monkeypatch.setattr(bench.stores.postgres, "write", lossy)
    return lost


async def test_what_waits_together_is_committed_together(bench: Bench, database: Database) -> None:
    await asyncio.gather(*(bench.writer.store(event(number=n % 3)) for n in range(45)))
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 45
    assert await database.fetchval("SELECT count(*) FROM visitors") == 3
    commits = "SELECT count(DISTINCT xmin::text) FROM analytics_events"
    assert await database.fetchval(commits) == 3  # of 20, 20 and 5 events
    totals = await database.fetch("SELECT period, events FROM rollup_periods")
    assert {row["period"]: row["events"] for row in totals} == {"day": 45, "week": 45, "month": 45}


async def test_one_poisonous_event_fails_alone(bench: Bench, database: Database) -> None:
    events = [event() for _ in range(15)]
    events.insert(7, poison())
    results = await asyncio.gather(
        *(bench.writer.store(one) for one in events), return_exceptions=True
    )
    assert isinstance(results.pop(7), InvalidRequest)
    assert results == [True] * 15
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 15
    assert bench.dropped("refused_by_database") == 1


async def test_a_statement_sent_twice_counts_once(bench: Bench, database: Database) -> None:
    events = [
        event("letter_generate", letter_type="motivation", data={"letter_type": "motivation"}),
        event("cv_theme_change", data={"theme": "backend"}, theme="backend"),
    ]
    for _ in range(2):
        await bench.stores.postgres.write("insert_batch", *batch_arguments(events))
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 2
    assert await database.fetchval("SELECT sum(events) FROM rollup_events") == 2
    assert await database.fetchval("SELECT sum(letters) FROM rollup_letters") == 1
    assert await database.fetchval("SELECT views FROM theme_totals") == 1
    assert await database.fetchval("SELECT visit_count FROM visitors") == 1
    row = await database.fetchrow("SELECT events, letters FROM rollup_periods WHERE period = 'day'")
    assert row is not None
    assert tuple(row) == (2, 1)


async def test_a_lost_reply_is_no_lost_event(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = lose_first_reply(bench, monkeypatch)
    await bench.writer.store(event())
    assert lost
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 1
    assert await database.fetchval("SELECT sum(events) FROM rollup_events") == 1
    assert not bench.stores.realtime.trusted


async def test_what_was_in_doubt_is_entered_as_it_was(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = bench.stores.postgres.write

    async def lose_replies(name: str, *values: Any) -> Any:
        if name == "insert_batch":
            await write(name, *values)
        raise StorageUnavailable("the reply was lost")

    monkeypatch.setattr(bench.stores.postgres, "write", lose_replies)
    with pytest.raises(Unavailable) as caught:
        await bench.writer.store(event("doubtful"))
    assert caught.value.code == "in_doubt"
    assert bench.ledger.summary()["stored"] == 0
    monkeypatch.setattr(bench.stores.postgres, "write", write)
    await until(lambda: bench.writer.available)
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 1
    summary = bench.ledger.summary()
    assert (summary["stored"], summary["refused"]) == (1, 0)
    assert not bench.stores.realtime.trusted


async def test_an_event_id_is_stored_once(bench: Bench, database: Database) -> None:
    name = uuid.uuid4()
    one, two, three = (event("named", number=n, event_id=str(name)) for n in (1, 2, 3))
    assert await bench.writer.store(one)
    assert not await bench.writer.store(two)
    again, other = str(uuid.uuid4()), event("named", event_id=str(uuid.uuid4()))
    pair = [event("named", event_id=again), event("named", event_id=again)]
    results = await asyncio.gather(*(bench.writer.store(each) for each in (three, *pair, other)))
    assert sorted(results) == [False, False, True, True]
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 3
    assert await database.fetchval("SELECT sum(events) FROM rollup_events") == 3
    assert await database.fetchval("SELECT count(*) FROM visitors") == 1  # of the stored ones
    summary = bench.ledger.summary()
    assert (summary["stored"], summary["duplicate"]) == (3, 3)


async def test_an_event_id_is_stored_once_across_writers(bench: Bench, database: Database) -> None:
    names = [uuid.uuid4() for _ in range(60)]

    async def write(order: list[uuid.UUID]) -> int:
        stored = 0
        for start in range(0, len(order), 20):
            batch = [event("named", event_id=str(name)) for name in order[start : start + 20]]
            stored += (await bench.writer._committer.commit(batch)).new_events
        return stored

    stored = await asyncio.gather(write(names), write(names[::-1]), write(names[30:] + names[:30]))
    assert sum(stored) == 60
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 60


async def test_a_lost_reply_makes_no_duplicates(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = lose_first_reply(bench, monkeypatch)
    assert await bench.writer.store(event("named", event_id=str(uuid.uuid4())))
    assert lost
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 1
    assert bench.ledger.summary()["duplicate"] == 0


async def test_names_are_forgotten_after_a_day(bench: Bench, database: Database) -> None:
    name = uuid.uuid4()
    assert await bench.writer.store(event("named", event_id=str(name)))
    await forget_event_keys(bench.stores.postgres, utc_now() + dt.timedelta(hours=23))
    assert not await bench.writer.store(event("named", event_id=str(name)))
    await forget_event_keys(bench.stores.postgres, utc_now() + dt.timedelta(hours=25))
    assert await database.fetchval("SELECT count(*) FROM event_keys") == 0


async def test_a_full_queue_refuses_at_once(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    write = bench.stores.postgres.write

    async def slow(name: str, *values: Any) -> Any:
        await gate.wait()
        return await write(name, *values)

    monkeypatch.setattr(bench.stores.postgres, "write", slow)
    waiting = []
    for count in (20, 50):  # one batch on its way, then as many as the queue holds
        waiting += [asyncio.create_task(bench.writer.store(event())) for _ in range(count)]
        await asyncio.sleep(0.05)
    with pytest.raises(Unavailable) as caught:
        await asyncio.wait_for(bench.writer.store(event()), 0.5)
    assert caught.value.code == "queue_full"
    assert caught.value.headers["Retry-After"] == "1"
    bench.writer.offer(event())
    assert bench.dropped("queue_full") == 2
    gate.set()
    await asyncio.gather(*waiting)
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 70


async def test_a_database_that_goes_away_is_noticed_and_found_again(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = bench.stores.postgres.write

    async def gone(_: str, *__: Any) -> Any:
        raise StorageUnavailable("gone")

    monkeypatch.setattr(bench.stores.postgres, "write", gone)
    with pytest.raises(Unavailable):
        await bench.writer.store(event())
    assert not bench.writer.available
    with pytest.raises(Unavailable):
        await asyncio.wait_for(bench.writer.store(event()), 0.1)
    bench.writer.offer(event())
    assert bench.dropped("database_unavailable") == 2  # what became of the first is not known yet
    monkeypatch.setattr(bench.stores.postgres, "write", write)
    await until(lambda: bench.writer.available)
    assert bench.dropped("database_unavailable") == 3
    await bench.writer.store(event())
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 1


async def test_real_connections_that_are_cut_lose_nothing(bench: Bench, database: Database) -> None:
    await bench.writer.store(event())
    others = await database.fetchval(
        "SELECT array_agg(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    await database.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid", others)

    async def are_gone() -> bool:
        left = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY ($1::integer[])"
        return not await database.fetchval(left, others)

    await until(are_gone)  # they are told to, and take their time
    await bench.writer.store(event())
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 2


async def test_a_day_without_a_partition_gets_one(bench: Bench, database: Database) -> None:
    later = utc_now() + dt.timedelta(days=40)
    await bench.writer.store(make_event(Fields("x"), visitor(), Moment.of(later, UTC)))
    names = await bench.stores.partitions.names()
    assert f"analytics_events_p{later:%Y%m%d}" in names
    await database.execute(f"DROP TABLE analytics_events_p{later:%Y%m%d}")
    await bench.writer.store(make_event(Fields("x"), visitor(), Moment.of(later, UTC)))
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 1


async def test_closing_stores_what_waits_and_refuses_what_comes(
    bench: Bench, database: Database
) -> None:
    for _ in range(30):
        bench.writer.offer(event())
    await bench.writer.close()
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 30
    with pytest.raises(Unavailable):
        await bench.writer.store(event())


async def test_a_visit_ends_after_thirty_minutes(bench: Bench, database: Database) -> None:
    start = utc_now()
    for minutes in (0, 29, 58, 89):
        instant = start + dt.timedelta(minutes=minutes)
        await bench.writer.store(make_event(Fields("x"), visitor(), Moment.of(instant, UTC)))
    assert await database.fetchval("SELECT visit_count FROM visitors") == 2


async def test_two_writers_on_the_same_rows_agree_and_never_deadlock(
    bench: Bench, database: Database
) -> None:
    async def write(seed: int) -> None:
        for turn in range(15):
            order = range(40) if (seed + turn) % 2 else range(39, -1, -1)
            batch = [event(f"t{n % 7}", number=n) for n in order]
            await bench.stores.postgres.write("insert_batch", *batch_arguments(batch))

    await asyncio.gather(write(0), write(1))
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 1200
    assert await database.fetchval("SELECT sum(events) FROM rollup_events") == 1200


async def test_without_redis_events_are_stored_and_delivered_here(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    realtime = bench.stores.realtime
    realtime._breaker.failed()
    await bench.writer.store(event("lonely"))
    assert ['"type": "lonely"' in message for message in bench.delivered] == [True]
    assert not realtime.trusted
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 1


async def test_redis_is_told_of_a_crowd(redis_client: Any) -> None:
    today = utc_now().date()
    crowd = {str(uuid.UUID(int=number)) for number in range(9_500)}
    pipe = redis_client.pipeline(transaction=False)
    write_totals(pipe, Totals(visitors_by_day={today: crowd}), today)
    await pipe.execute()
    counted = await redis_client.pfcount(f"analytics:visitors:unique:day:{today}")
    assert counted == pytest.approx(len(crowd), rel=0.05)


async def test_redis_is_told_the_totals(bench: Bench, redis_client: Any) -> None:
    await asyncio.gather(*(bench.writer.store(event(number=n)) for n in range(5)))
    today = utc_now().date()
    assert await redis_client.get(f"analytics:stats:day:{today}:total_events") == "5"
    week = Period.WEEK.key(Period.WEEK.start(today))
    assert await redis_client.pfcount(f"analytics:visitors:unique:week:{week}") == 5
    assert await redis_client.zcard("analytics:realtime:visitors") == 5
