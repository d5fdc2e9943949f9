"""A site's three months: any number of events, of visitors who come back, made inside PostgreSQL.

The same seed gives the same data, counted back from the instant at which they are made. Rollups are
filled as well, so that `run.py verify` agrees; whatever the product does at night is left to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from bench.program import ROOT
from maicivy import embedded
from maicivy.metrics import Metrics
from maicivy.storage.migrations import migrate
from maicivy.storage.partitions import Partitions
from maicivy.storage.postgres import Postgres
from maicivy.storage.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Connection = asyncpg.Connection[asyncpg.Record]

QUERIES = load_queries(Path(__file__).with_name("sql"))
EVENTS_A_VISIT = 5
TEN_VISITS = 10
WRITERS = 2
ROLLUPS = (
    "count_by_day",
    "fill_rollup_events",
    "fill_rollup_letters",
    "fill_rollup_themes",
    "fill_theme_totals",
    "fill_rollup_periods",
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is made; `events` are rounded so that every day has its share of whole visits."""

    events: int
    visitors: int
    days: int = 90
    seed: int = 1

    @classmethod
    def asked(cls, visitors: int) -> Size:
        """Return the size that BENCH_EVENTS, BENCH_VISITORS and BENCH_DAYS ask for."""
        return cls(
            events=int(os.environ.get("BENCH_EVENTS", "10000000")),
            visitors=int(os.environ.get("BENCH_VISITORS", visitors)),
            days=int(os.environ.get("BENCH_DAYS", "90")),
        )

    @property
    def visits_a_day(self) -> int:
        """How many visits end in each 24 hours."""
        return max(1, self.events // (self.days * EVENTS_A_VISIT * TEN_VISITS)) * TEN_VISITS

    @property
    def visits_a_visitor(self) -> int:
        """After how many visits somebody new comes."""
        return max(1, self.visits_a_day * self.days // self.visitors)


@contextlib.asynccontextmanager
async def prepared(size: Size) -> AsyncIterator[tuple[Path, int]]:
    """Lend a data folder with that many events, cleaned up as at night, and their number."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with embedded.start(data) as servers:
            url = servers.database_url or ""
            count = await fill(url, size, dt.datetime.now(dt.UTC))
        command(data, "cleanup")
        with embedded.start(data) as servers:
            await _vacuum(servers.database_url or "")
        yield data, count


def command(data: Path, name: str) -> int:
    """Run one command of the program on the data folder; return its exit code."""
    environment = os.environ | {"MAICIVY_DATA_DIR": str(data)}
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", name], env=environment, check=False, capture_output=True
    )
    return done.returncode


async def _vacuum(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def fill(database_url: str, size: Size, now: dt.datetime) -> int:
    """Bring the schema up to date and fill an empty database; return the number of events."""
    async with Postgres.connect(database_url, Metrics(), 2) as postgres:
        await migrate(postgres)
        today = now.astimezone(dt.UTC).date()
        days = (today - dt.timedelta(days=age) for age in range(-1, size.days + 2))
        await Partitions(postgres).ensure(days)
    shares = [range(first, size.days, WRITERS) for first in range(WRITERS)]
    await asyncio.gather(*(_fill_days(database_url, size, now, share) for share in shares))
    async with _connected(database_url) as connection:
        await connection.execute(QUERIES["fill_visitors"])
        await connection.execute(QUERIES["fill_places"], now)
        await connection.execute(QUERIES["note_events"])
        for name in ROLLUPS:
            await connection.execute(QUERIES[name])
        await connection.execute("ANALYZE")
        return int(await connection.fetchval("SELECT count(*) FROM analytics_events"))


async def _fill_days(database_url: str, size: Size, now: dt.datetime, days: range) -> None:
    async with _connected(database_url) as connection:
        for day in days:
            first = day * size.visits_a_day
            end = now - dt.timedelta(days=size.days - 1 - day)
            await connection.execute(
                QUERIES["fill_window"],
                first,
                first + size.visits_a_day - 1,
                end,
                size.visitors,
                size.visits_a_visitor,
                size.seed * 1000,
            )


@contextlib.asynccontextmanager
async def _connected(database_url: str) -> AsyncIterator[Connection]:
    """Lend a connection that checks no foreign key: visitors come after their events."""
    settings = {"session_replication_role": "replica", "timezone": "UTC", "jit": "off",
                "work_mem": "256MB"}  # fmt: skip
    connection = await asyncpg.connect(database_url, server_settings=settings)
    try:
        await connection.execute(QUERIES["make_random"])
        await connection.execute(QUERIES["make_pages"])
        yield connection
    finally:
        await connection.close()
