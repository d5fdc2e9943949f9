"""Packed events: the same rows as before, whoever is killed, erased, late or expired."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import json
import random
import uuid
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from maicivy.background.cleanup import Cleanup
from maicivy.errors import StorageUnavailable
from maicivy.ingest.batch import batch_arguments
from maicivy.ingest.event import Fields, make_event
from maicivy.metrics import Metrics
from maicivy.periods import Moment
from maicivy.reports import timeline, visitor
from maicivy.reports.source import Source
from maicivy.storage import packing, partitions
from maicivy.storage.forgetting import Forgetting, Forgotten, _Removal
from maicivy.storage.partitions import partition_name
from maicivy.storage.stores import Stores, open_stores
from tests.integration.test_writer import UTC
from tests.integration.test_writer import visitor as visitor_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from maicivy.config import Config
    from tests.conftest import Database, FakeClock, Urls

NOW = dt.datetime(2026, 11, 24, 2, 0, tzinfo=dt.UTC)
OLD = dt.date(2026, 11, 10)
NOON = dt.datetime(2026, 11, 10, 12, 0, tzinfo=dt.UTC)
COLUMNS = (
    "id, visitor_id, event_type, event_data::text, page_url, referrer, session_duration, "
    "created_at, updated_at, deleted_at"
)
INSERT = "INSERT INTO analytics_events VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
SEED = 20261110


class Bench:
    """Real stores at a frozen time, with what packs and what asks."""

    def __init__(self, stores: Stores, database: Database, clock: FakeClock) -> None:
        self.stores, self.database, self.clock = stores, database, clock
        self.packing = packing.Packing(stores.postgres, stores.partitions)
        self.source = Source(stores.postgres, stores.realtime, stores.visits, clock, dt.UTC)  # type: ignore[arg-type]

    async def store(self, instant: dt.datetime, number: int = 1, **fields: Any) -> str:
        """Store an event as the writer does."""
        await self.stores.partitions.ensure([instant.date()])
        event = make_event(Fields("x", **fields), visitor_of(number), Moment.of(instant, UTC))
        await self.stores.postgres.write("insert_batch", *batch_arguments([event]))
        return event.id

    async def insert(self, rows: list[tuple[Any, ...]]) -> None:
        """Put rows into the table as they are."""
        await self.stores.partitions.ensure({row[7].date() for row in rows})
        await self.database.executemany(
            "INSERT INTO visitors VALUES ($1, '', '', '', '', '', '', 1, $2, $2) "
            "ON CONFLICT (id) DO UPDATE SET last_visit = greatest(visitors.last_visit, $2)",
            [(row[1], row[7]) for row in rows],
        )
        await self.database.executemany(INSERT, rows)

    async def pack(self) -> dict[dt.date, int]:
        return {day: events async for day, events in self.packing.pack(self.clock())}

    async def rows(self) -> list[Any]:
        return await self.database.fetch(f"SELECT {COLUMNS} FROM events ORDER BY created_at, id")

    async def places(self, **size: int) -> list[str]:
        """Return the ids of the whole timeline, page by page."""
        found: list[str] = []
        cursor = None
        while True:
            page = await self.page(limit=size.get("limit", 3), cursor=cursor)
            found += [event["id"] for event in page.events]
            if page.next_cursor is None:
                return found
            cursor = timeline.Cursor.parse(page.next_cursor)

    async def page(self, limit: int, offset: int = 0, cursor: Any = None) -> timeline.Page:
        return await timeline.page(
            self.source, lambda who, _: who, limit=limit, offset=offset, cursor=cursor
        )


@pytest.fixture
async def bench(
    urls: Urls, database: Database, clock: FakeClock, config_factory: Callable[..., Config]
) -> AsyncIterator[Bench]:
    clock.freeze(NOW)
    async with open_stores(config_factory(), urls.database, urls.redis, Metrics(), clock) as stores:
        yield Bench(stores, database, clock)


def some_data(draw: random.Random, depth: int = 0) -> Any:
    """Return a JSON value of any kind; at the top mostly the objects that events have."""
    kinds: list[Callable[[], Any]] = [
        lambda: draw.choice(["", "dark", "Füße", "🦊" * 3, "\\", '"', "a\nb", "\u2028"]),
        lambda: draw.choice([0, 1, -1, 1.0, 0.1, 1e20, -12.50, 10**30, 5e-324, 2**53 + 1]),
        lambda: draw.choice([None, True, False]),
        lambda: [some_data(draw, depth + 1) for _ in range(draw.randrange(3))],
        lambda: {
            draw.choice(["x", "y", "theme", "", "ключ", "a b"]): some_data(draw, depth + 1)
            for _ in range(draw.randrange(4))
        },
    ]
    if depth > 3:
        kinds = kinds[:3]
    return draw.choice(kinds)()


def some_place(draw: random.Random) -> Any:
    """Return data with coordinates, some of which are none that can be taken apart."""
    ends = [0, 7, -7, 9999, -9999, 10000, 32768, 1.5, 2.0, "3", None, [1], -0.0]
    data = {"x": draw.choice(ends), "y": draw.choice(ends)}
    return data | draw.choice([{}, {"viewport": "1920x1080"}, {"": 1}])


def some_row(draw: random.Random, day: dt.date, *, exact: bool) -> tuple[Any, ...]:
    """Return a row; an exact one has whole milliseconds and an id as the program makes them."""
    ms = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) * 1000
    ms += draw.choice([0, 86_399_999, draw.randrange(86_400_000)])
    created_at = dt.datetime.fromtimestamp(ms // 1000, dt.UTC) + dt.timedelta(
        milliseconds=ms % 1000, microseconds=0 if exact else draw.randrange(1000)
    )
    tail = draw.choice([0x8 << 60, 0xBFFFFFFFFFFFFFFF, 0x9123456789ABCDEF])
    timely = (ms << 80) | (7 << 76) | (draw.randrange(4096) << 64) | tail
    identity = timely if exact else draw.getrandbits(128)
    data = draw.choice([None, some_data(draw), some_data(draw), some_place(draw)])
    if draw.random() < 0.02:
        data = {"long": "".join(draw.choices("abcdefgh é", k=14_000))}
    return (
        uuid.UUID(int=identity),
        uuid.UUID(int=draw.randrange(1, 30)),
        draw.choice(["page_view", "button_click", "x", "A.b:c-d"]),
        "null" if draw.random() < 0.02 else json.dumps(data) if data is not None else None,
        draw.choice([None, "", "/", "/cv?theme=dark", "/é" * 200, "x" * 500]),
        draw.choice([None, "", "https://example.org/", "\u200b"]),
        draw.choice([0, 0, 0, None, 7, 2**31 - 1, -(2**31)]),
        created_at,
        created_at if exact or draw.random() < 0.9 else created_at + dt.timedelta(seconds=1),
        None if exact or draw.random() < 0.9 else created_at,
    )


@pytest.mark.parametrize("exact", [True, False])
async def test_every_row_is_read_back_as_it_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, exact: bool
) -> None:
    draw = random.Random(SEED + exact)
    for size in (1, 2, 120, 500):
        monkeypatch.setattr(packing, "BLOCK_EVENTS", draw.choice([1, 50, 97, 4000]))
        made = [some_row(draw, OLD, exact=exact) for _ in range(size)]
        await bench.insert(list({row[0]: row for row in made}.values()))
        before = await bench.rows()
        assert sum((await bench.pack()).values()) > 0
        assert await bench.database.fetchval("SELECT count(*) FROM analytics_events") == 0
        assert await bench.rows() == before
        assert partition_name(OLD) not in await bench.stores.partitions.names()
    compact = await bench.database.fetchval("SELECT count(*) FROM packed_events WHERE ids IS NULL")
    assert (compact > 0) is exact


async def test_only_days_that_ended_three_days_ago_are_packed(bench: Bench) -> None:
    for days in (0, 2, 3, 4, 30):
        await bench.store(NOW - dt.timedelta(days=days))
    assert list(await bench.pack()) == [(NOW - dt.timedelta(days=d)).date() for d in (30, 4)]
    assert await bench.database.fetchval("SELECT count(*) FROM analytics_events") == 3
    assert await bench.pack() == {}


async def test_a_block_has_no_more_data_than_it_may(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "BLOCK_DATA_BYTES", 30_000)
    for second in range(9):
        await bench.store(NOON + dt.timedelta(seconds=second), data={"long": "x" * 12_000})
    await bench.pack()
    sizes = await bench.database.fetch("SELECT events FROM packed_events ORDER BY first_at")
    assert [row["events"] for row in sizes] == [3, 3, 3]


async def test_who_is_killed_midway_leaves_every_event_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "BLOCK_EVENTS", 3)
    for second in range(20):
        await bench.store(NOON + dt.timedelta(seconds=second))
    before = await bench.rows()
    run = type(bench.stores.postgres).run
    for lives in (1, 2, 3):
        calls = itertools.count()

        async def mortal(*given: Any, lives: int = lives, calls: Any = calls) -> Any:
            rows = await run(*given)
            if given[2] == "pack_next_events" and next(calls) == lives:
                raise StorageUnavailable("killed before the commit")
            return rows

        monkeypatch.setattr(type(bench.stores.postgres), "run", mortal)
        with pytest.raises(StorageUnavailable):
            await bench.pack()
        assert await bench.rows() == before
        assert 0 < await bench.database.fetchval("SELECT count(*) FROM packed_events") < 7
    monkeypatch.setattr(type(bench.stores.postgres), "run", run)
    await bench.pack()
    assert await bench.rows() == before
    assert await bench.database.fetchval("SELECT count(*) FROM analytics_events") == 0


async def test_a_late_event_is_stored_seen_and_packed_the_next_night(bench: Bench) -> None:
    first = await bench.store(NOON)
    await bench.pack()
    late = await bench.store(NOON - dt.timedelta(seconds=1), page_url="/late")
    newest = await bench.store(NOW)
    expected = [str(newest), str(first), str(late)]
    assert await bench.places(limit=1) == expected
    assert await bench.pack() == {OLD: 1}
    assert await bench.database.fetchval("SELECT count(*) FROM packed_events") == 2
    assert await bench.places(limit=2) == expected


async def test_an_event_that_comes_while_its_day_is_dropped_keeps_the_day(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.store(NOON)
    drop = type(bench.stores.partitions).drop_empty

    async def late(partitions: Any, day: dt.date) -> bool:
        await bench.store(NOON + dt.timedelta(hours=1))
        return await drop(partitions, day)

    monkeypatch.setattr(type(bench.stores.partitions), "drop_empty", late)
    assert await bench.pack() == {OLD: 1}
    assert partition_name(OLD) in await bench.stores.partitions.names()
    assert len(await bench.rows()) == 2


async def test_a_long_reader_delays_only_the_drop(
    bench: Bench, urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "DROP_TRIES", 2)
    await bench.store(NOON)
    reader = await asyncpg.connect(urls.database)
    async with reader.transaction():
        assert await reader.fetchval("SELECT count(*) FROM events") == 1
        packed = asyncio.create_task(bench.pack())
        while not packed.done():
            await asyncio.wait_for(bench.store(NOW), 2)
            assert await reader.fetchval("SELECT count(*) FROM events WHERE created_at < $1", NOW)
        assert await packed == {OLD: 1}
    await reader.close()
    assert partition_name(OLD) in await bench.stores.partitions.names()
    assert await bench.pack() == {OLD: 0}
    assert partition_name(OLD) not in await bench.stores.partitions.names()


async def test_the_timeline_is_the_same_before_and_after(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "BLOCK_EVENTS", 7)
    draw = random.Random(SEED)
    rows = [some_row(draw, OLD + dt.timedelta(days=n % 14), exact=n % 3 > 0) for n in range(150)]
    same = [(uuid.UUID(int=n), *rows[0][1:]) for n in range(12)]
    await bench.insert([*rows, *same])
    expected = [str(row["id"]) for row in reversed(await bench.rows())]
    page = await bench.page(limit=80)
    await bench.pack()
    cursor = timeline.Cursor.parse(page.next_cursor or "")
    assert [event["id"] for event in page.events] == expected[:80]
    assert [
        event["id"] for event in (await bench.page(limit=100, cursor=cursor)).events
    ] == expected[80:]
    for limit in (1, 5, 40):
        assert await bench.places(limit=limit) == expected
        for offset in range(0, 165, 9):
            found = (await bench.page(limit, offset)).events
            assert [event["id"] for event in found] == expected[offset : offset + limit]


async def test_the_timeline_unpacks_no_more_than_it_shows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "BLOCK_EVENTS", 5)
    for minute in range(100):
        await bench.store(NOON + dt.timedelta(minutes=minute))
    await bench.pack()
    asked: list[Any] = []
    fetch = type(bench.stores.postgres).fetch

    async def noting(postgres: Any, name: str, *values: Any) -> Any:
        asked.append((name, values))
        return await fetch(postgres, name, *values)

    monkeypatch.setattr(type(bench.stores.postgres), "fetch", noting)
    await bench.page(limit=10, offset=20)
    reach = dict(asked)["select_events"][-1]
    assert reach == NOON + dt.timedelta(minutes=70)


async def test_what_expires_leaves_its_block(bench: Bench, urls: Urls) -> None:
    cutoff = NOON + dt.timedelta(minutes=30, microseconds=500)
    draw = random.Random(SEED)
    rows = [some_row(draw, OLD, exact=False) for _ in range(100)]
    border = [(uuid.UUID(int=n), *rows[n][1:7], cutoff + dt.timedelta(microseconds=n - 1), cutoff,
               None) for n in range(3)]  # fmt: skip
    await bench.insert([*rows, *border])
    await bench.insert([some_row(draw, OLD - dt.timedelta(days=3), exact=True) for _ in range(40)])
    await bench.pack()
    before = await bench.rows()
    removed = await bench.packing.remove_before(cutoff)
    kept = [row for row in before if row["created_at"] >= cutoff]
    assert await bench.rows() == kept
    assert removed == len(before) - len(kept) > 60
    assert await bench.packing.remove_before(cutoff) == 0
    assert await bench.rows() == kept


async def test_the_cleanup_packs_and_says_so(bench: Bench) -> None:
    metrics = Metrics()
    cleanup = Cleanup(
        postgres=bench.stores.postgres,
        partitions=bench.stores.partitions,
        visits=bench.stores.visits,
        mirror=bench.stores.mirror,
        metrics=metrics,
        clock=bench.clock,
        zone=dt.UTC,  # type: ignore[arg-type]
        retention_days=90,
    )
    await bench.store(NOON, 1)
    await bench.store(NOON + dt.timedelta(hours=1), 2)
    removed = await cleanup.run_once()
    assert removed is not None
    assert (removed.packed, removed.events, removed.visitors) == (2, 0, 0)
    assert await bench.database.fetchval("SELECT events_packed FROM cleanup_runs") == 2
    bench.clock.freeze(NOON + dt.timedelta(days=90, minutes=30))
    removed = await cleanup.run_once()
    assert removed is not None
    assert (removed.packed, removed.events, removed.visitors) == (0, 1, 1)
    assert [row["visitor_id"] for row in await bench.rows()] == [uuid.UUID(int=2)]
    sample = metrics.registry.get_sample_value
    assert sample("maicivy_cleanup_rows_total", {"table": "packed_events"}) == 1


async def test_a_packed_day_is_sketched_and_counted(bench: Bench) -> None:
    """The sketch of a day that was packed without Redis, and one of a clock that ran ahead."""
    for number in range(1, 6):
        await bench.store(NOON, number)
    await bench.store(NOW + dt.timedelta(days=40), 1)
    await bench.pack()
    assert await bench.stores.mirror.sketch_closed_days() == 1
    begin, end = NOON - dt.timedelta(days=1), NOON + dt.timedelta(days=1)
    for first, last, expected in ((begin, end, 5), (end, NOW, 0)):
        values = (first, last)
        assert (
            await bench.stores.postgres.fetch_value("count_visitors_between", *values) == expected
        )
        found = await bench.stores.postgres.fetch("select_visitors_between", *values)
        assert len(found) == expected


# --- visitors -------------------------------------------------------------------------------------


async def test_a_visitor_sees_packed_events_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "BLOCK_EVENTS", 4)
    mine = [
        await bench.store(NOON + dt.timedelta(days=day), 1, data={"x": day, "y": 1}, page_url="/a")
        for day in range(14)
    ]
    for day in range(14):
        await bench.store(NOON + dt.timedelta(days=day), 2)
    await bench.pack()
    who, found, cursor = uuid.UUID(int=1), [], None
    while True:
        held = await visitor.holdings(bench.source, who, limit=5, cursor=cursor)
        found += held.events
        if held.next_cursor is None:
            break
        cursor = timeline.Cursor.parse(held.next_cursor)
    assert [event["id"] for event in found] == [str(one) for one in reversed(mine)]
    assert json.loads(found[-1]["event_data"]) == {"x": 0, "y": 1}


async def test_who_is_forgotten_is_in_no_block(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "BLOCK_EVENTS", 4)
    for day in range(14):
        for number in (1, 2, 3):
            await bench.store(NOON + dt.timedelta(days=day), number)
    await bench.pack()
    await bench.stores.mirror.sketch_closed_days()
    others = [row for row in await bench.rows() if row["visitor_id"] != uuid.UUID(int=1)]
    forgotten = await bench.stores.forgetting.forget(uuid.UUID(int=1))
    assert (forgotten.visitor, forgotten.events) == (True, 14)
    assert await bench.rows() == others
    blocks = str(await bench.database.fetch("SELECT * FROM packed_events"))
    assert str(uuid.UUID(int=1)) not in blocks
    assert str(uuid.UUID(int=2)) in blocks
    assert await bench.database.fetchval("SELECT count(*) FROM unique_sketches") == 0


async def test_packing_brings_nobody_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Visitors are forgotten while their events are on their way into blocks."""
    monkeypatch.setattr(packing, "BLOCK_EVENTS", 5)
    draw = random.Random(SEED)
    for _ in range(3):
        rows = [some_row(draw, OLD + dt.timedelta(days=n % 3), exact=True) for n in range(200)]
        await bench.insert(list({row[0]: row for row in rows}.values()))
        gone = [uuid.UUID(int=number) for number in range(1, 6)]
        stay = [row for row in await bench.rows() if row["visitor_id"] not in gone]
        forgetting = bench.stores.forgetting
        await asyncio.gather(bench.pack(), *(forgetting.forget(one) for one in gone))
        assert await bench.rows() == stay
        left = await bench.database.fetch("SELECT DISTINCT unnest(visitor_ids) FROM packed_events")
        assert not {row[0] for row in left} & set(gone)
        await bench.database.execute("TRUNCATE packed_events")


async def test_two_processes_forget_visitors_of_one_block(bench: Bench) -> None:
    for number in range(1, 12):
        await bench.store(NOON, number)
    await bench.pack()
    stores = bench.stores
    two = [
        Forgetting(stores.postgres, stores.realtime, stores.visits, bench.clock, dt.UTC)  # type: ignore[arg-type]
        for _ in range(2)
    ]
    for number in range(1, 11, 2):
        await asyncio.gather(
            two[0].forget(uuid.UUID(int=number)), two[1].forget(uuid.UUID(int=number + 1))
        )
    assert [row["visitor_id"] for row in await bench.rows()] == [uuid.UUID(int=11)]


async def test_what_was_packed_after_the_last_bite_is_forgotten_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.store(NOON)
    finish = _Removal.finish

    async def late(removal: _Removal) -> Forgotten:
        await bench.store(NOON + dt.timedelta(hours=1))
        await bench.pack()
        return await finish(removal)

    monkeypatch.setattr(_Removal, "finish", late)
    assert await bench.stores.forgetting.forget(uuid.UUID(int=1)) == Forgotten(
        visitor=True, events=2
    )
    assert await bench.rows() == []
