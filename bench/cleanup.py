"""The nightly cleanup: packing a day, removing a million expired events, and inserts beside it.

Each round packs nine days of 111,111 events and then removes them all, once with nobody about and
once while a reader keeps a transaction open. Single events are stored one after the other all the
time; the same inserts with no cleanup under way are the baseline. Removing is over after a dozen of
them, so their p99 is that of the whole cleanup.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from bench.figures import Figure, percentile
from maicivy import embedded
from maicivy.background.cleanup import Cleanup
from maicivy.config import Config
from maicivy.ingest.batch import batch_arguments
from maicivy.ingest.event import Fields, make_event
from maicivy.ingest.visitor import Visitor
from maicivy.metrics import Metrics
from maicivy.periods import ONE_DAY, Moment
from maicivy.storage.packing import Packing
from maicivy.storage.queries import load_queries
from maicivy.storage.stores import Stores, open_stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

DAYS = 9
EVENTS_A_DAY = 111_111
VISITORS_A_DAY = 3_333
NOW = dt.datetime(2026, 11, 24, 2, 0, tzinfo=dt.UTC)
RETENTION_DAYS = 90
FILL = load_queries(Path(__file__).with_name("sql"))
BASELINE_SECONDS = 2.0


@dataclass
class Clock:
    """Stands at the night before the events expire until it is moved."""

    now: dt.datetime = NOW

    def __call__(self) -> dt.datetime:
        """Return where it stands."""
        return self.now


@dataclass
class Seen:
    """The figures of all rounds by name, and the baselines of some."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Keep the value of one round."""
        self.values.setdefault(name, []).append(value)

    def figure(self, name: str, unit: str, promise: str = "", baseline: str = "") -> Figure:
        """Return the figure of all rounds."""
        beside = tuple(self.values[baseline]) if baseline else ()
        return Figure(name, unit, tuple(self.values[name]), baseline, beside, promise)


class Night:
    """Stores with expired events, and the cleanup that removes them."""

    def __init__(self, stores: Stores, url: str, clock: Clock) -> None:
        self.stores, self.url, self.clock = stores, url, clock
        self.packing = Packing(stores.postgres, stores.partitions)
        self.cleanup = Cleanup(
            postgres=stores.postgres,
            partitions=stores.partitions,
            visits=stores.visits,
            mirror=None,
            metrics=Metrics(),
            clock=clock,
            zone=Config().timezone,
            retention_days=RETENTION_DAYS,
        )

    async def move(self, now: dt.datetime) -> None:
        """Move the clock, and have partitions for the events of then."""
        self.clock.now = now
        self.stores.partitions.forget()
        await self.stores.partitions.ensure_ahead(now)

    async def fill(self) -> None:
        """Make the events of days that are old enough to be packed, checking no foreign key."""
        days = [NOW.date() - ONE_DAY * (20 + n) for n in range(DAYS)]
        await self.stores.partitions.ensure(days)
        async with contextlib.AsyncExitStack() as stack:
            settings = {"jit": "off", "session_replication_role": "replica"}
            connection = await asyncpg.connect(self.url, server_settings=settings)
            stack.push_async_callback(connection.close)
            for day in days:
                start = dt.datetime.combine(day, dt.time(), dt.UTC)
                await connection.execute(FILL["fill_visitors_of_a_day"], start, VISITORS_A_DAY)
                await connection.execute(
                    FILL["fill_day"], start, EVENTS_A_DAY, VISITORS_A_DAY, timeout=120
                )
            await connection.execute("VACUUM ANALYZE analytics_events", timeout=120)
            await connection.execute("CHECKPOINT", timeout=120)

    async def insert(self) -> None:
        """Store one event of now, as the writer does."""
        identity = str(uuid.uuid4())
        who = Visitor(identity, identity, "0" * 64, "Chrome", "Linux", "desktop", "fr")
        fields = Fields("page_view", data={"path": "/cv"}, page_url="/cv")
        event = make_event(fields, who, Moment.of(self.clock(), Config().timezone))
        await self.stores.postgres.write("insert_batch", *batch_arguments([event]))

    async def inserts_beside(self, work: Awaitable[Any]) -> tuple[float, float]:
        """Return the p99 of inserts during `work` in milliseconds, and the seconds it took."""
        began, spans = time.perf_counter(), []
        task = asyncio.ensure_future(work)
        while not task.done():
            started = time.perf_counter()
            await self.insert()
            spans.append((time.perf_counter() - started) * 1000)
        await task
        return percentile(spans, 0.99), time.perf_counter() - began

    @contextlib.asynccontextmanager
    async def reader(self) -> AsyncIterator[None]:
        """Keep a transaction open that has read all events and visitors."""
        connection = await asyncpg.connect(self.url)
        async with connection.transaction():
            await connection.fetchval("SELECT count(*) FROM events, LATERAL (TABLE visitors) AS v "
                                      "WHERE block_from > now()")  # fmt: skip
            yield
        await connection.close()


async def pack(night: Night) -> None:
    """Pack all days."""
    async for _ in night.packing.pack(night.clock()):
        pass


async def one_round(night: Night, seen: Seen) -> None:
    """Fill, pack, remove; with a reader the second time."""
    for reader in ("", " beside an open transaction"):
        await night.move(NOW)
        await night.fill()
        quiet, _ = await night.inserts_beside(asyncio.sleep(BASELINE_SECONDS))
        beside, seconds = await night.inserts_beside(pack(night))
        if not reader:
            seen.add("packing a day of 111,111 events", seconds / DAYS)
            seen.add("an insert while days are packed, p99", beside)
            seen.add("an insert with no cleanup, p99", quiet)
            async with night.stores.postgres.reading() as connection:
                size = await connection.fetchval(SIZE)
            seen.add("a packed event", size)
        await night.move(NOW + ONE_DAY * RETENTION_DAYS)
        cutoff = night.clock() - ONE_DAY * RETENTION_DAYS
        async with night.reader() if reader else contextlib.nullcontext():
            beside, seconds = await night.inserts_beside(clean(night, cutoff, seen, reader))
        seen.add(f"an insert during the whole cleanup{reader}, p99", beside)
        if not reader:
            seen.add("the whole cleanup, 30,000 visitors too", seconds)


async def clean(night: Night, cutoff: dt.datetime, seen: Seen, reader: str) -> None:
    """Remove the expired events, which is noted, and do the rest of the cleanup."""
    began = time.perf_counter()
    await night.packing.remove_before(cutoff)
    seen.add(f"removing a million events{reader}", time.perf_counter() - began)
    await night.cleanup.run_once()


SIZE = "SELECT pg_total_relation_size('packed_events')::float8 / sum(events) FROM packed_events"


async def measure(rounds: int) -> list[Figure]:
    """Clean up so many times; each round makes two million events first, which takes a minute."""
    seen, clock = Seen(), Clock()
    with tempfile.TemporaryDirectory() as folder, embedded.start(Path(folder) / "data") as servers:
        urls = servers.database_url or "", servers.redis_url or ""
        config = dataclasses.replace(Config(), data_dir=Path(folder) / "data")
        async with open_stores(config, *urls, Metrics(), clock) as stores:
            for _ in range(rounds):
                await one_round(Night(stores, urls[0], clock), seen)
    quiet = "an insert with no cleanup, p99"
    late = " beside an open transaction"
    return [
        seen.figure("removing a million events", "s", "under 0.5 s"),
        seen.figure(f"removing a million events{late}", "s", "under 0.5 s"),
        seen.figure("an insert during the whole cleanup, p99", "ms", "under 2", quiet),
        seen.figure(f"an insert during the whole cleanup{late}, p99", "ms", "under 2", quiet),
        seen.figure("the whole cleanup, 30,000 visitors too", "s"),
        seen.figure("packing a day of 111,111 events", "s", "under 2 s"),
        seen.figure("an insert while days are packed, p99", "ms", "under 2", quiet),
        seen.figure("a packed event", "bytes", "at most 25"),
    ]
