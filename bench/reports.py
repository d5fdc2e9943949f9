"""Reports over ten million events of 90 days, while others come in; and what they cost on disk.

BENCH_EVENTS, BENCH_DAYS and BENCH_VISITORS make it smaller. TMPDIR says where the data are.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import statistics
import time
import uuid
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
import asyncpg

from bench import wrk
from bench.dataset import Size, prepared
from bench.figures import Figure, percentile
from bench.program import running
from maicivy import embedded
from maicivy.reports.timeline import Cursor

if TYPE_CHECKING:
    from pathlib import Path

    from bench.program import Program

VISITORS = 300_000
EVENTS_A_SECOND = 500
ASK_SECONDS = 60.0
SETTLE_SECONDS = 2.0
INGEST_SECONDS = 10.0
INGEST_CONNECTIONS = 64
BASE = "/api/v1/analytics"
FAST = "under 150 ms"


def questions(days: int) -> dict[str, str]:
    """Return the reports that are asked for."""
    return {
        "/heatmap, 7 days": "heatmap?hours=168",
        "/heatmap, 7 days, one page": "heatmap?hours=168&page_url=/cv",
        "/timeline, first page": "timeline",
        "/timeline, a day back": f"timeline?cursor={_cursor(1)}",
        "/timeline, 60 days back": f"timeline?cursor={_cursor(days * 2 / 3)}",
        "/letters of the month": "letters?period=month",
    }


def _cursor(days_back: float) -> str:
    instant = dt.datetime.now(dt.UTC) - dt.timedelta(days=days_back)
    return quote(str(Cursor(instant, uuid.UUID(int=2**128 - 1))))


async def ask(
    program: Program, paths: dict[str, str], load: asyncio.Task[wrk.Load]
) -> dict[str, list[float]]:
    """Return the milliseconds until each report was there, one after the other under the load."""
    spans: dict[str, list[float]] = {name: [] for name in paths}
    async with aiohttp.ClientSession() as session:
        while not load.done():
            for name, path in paths.items():
                started = time.perf_counter()
                async with session.get(f"{program.url}{BASE}/{path}") as response:
                    body = await response.read()
                if response.status != 200:
                    raise SystemExit(f"{path} was answered {response.status}: {body.decode()}")
                spans[name].append((time.perf_counter() - started) * 1000)
    return spans


async def ask_beside_events(
    program: Program, paths: dict[str, str], seed: int
) -> tuple[dict[str, list[float]], float]:
    """Return the milliseconds of the reports, and how many events a second came in meanwhile."""
    load = asyncio.create_task(
        asyncio.to_thread(
            wrk.post_paced, program.url, rate=EVENTS_A_SECOND, seconds=ASK_SECONDS, seed=seed
        )
    )
    await asyncio.sleep(SETTLE_SECONDS)
    spans = await ask(program, paths, load)
    return spans, (await load).rate


async def ingest(program: Program, seed: int, *, read: bool) -> float:
    """Return how many events a second come in, beside two readers who never stop or alone."""
    paths = ("heatmap?hours=168", "timeline?offset=100000") if read else ()
    readers = [
        asyncio.create_task(
            asyncio.to_thread(
                wrk.get, f"{program.url}{BASE}/{path}", connections=1, seconds=INGEST_SECONDS + 1
            )
        )
        for path in paths
    ]
    done = await asyncio.to_thread(
        wrk.post,
        program.url,
        connections=INGEST_CONNECTIONS,
        seconds=INGEST_SECONDS,
        seed=seed,
    )
    await asyncio.gather(*readers)
    return done.rate


async def size_of(data: Path) -> int:
    """Return the bytes of the whole database."""
    with embedded.attach_or_start(data) as servers:
        connection = await asyncpg.connect(servers.database_url)
        size = await connection.fetchval("SELECT pg_database_size(current_database())")
        await connection.close()
    return int(size)


async def measure(rounds: int) -> list[Figure]:
    """Fill a database, weigh it, and ask while events come in."""
    size = Size.asked(VISITORS)
    async with prepared(size) as (data, count):
        weight = await size_of(data)
        paths = questions(size.days)
        asked, rates, alone, beside = [], [], [], []
        with running(wrk.settings(MAICIVY_DATA_DIR=str(data))) as program:
            for seed in range(rounds):
                spans, rate = await ask_beside_events(program, paths, seed)
                asked.append(spans)
                rates.append(rate)
            for seed in range(rounds):
                alone.append(await ingest(program, 1000 + seed, read=False))
                beside.append(await ingest(program, 2000 + seed, read=True))
    return [
        Figure("events", "", (count,)),
        Figure("database", "MB", (weight / 1e6,), promise="at most 500 MB"),
        Figure("on disk for each event", "bytes", (weight / count,), promise="at most 50"),
        Figure("events a second meanwhile", "", tuple(rates)),
        *_latencies(asked),
        Figure(
            "ingest beside two readers who never stop",
            "events/s",
            tuple(beside),
            "ingest alone",
            tuple(alone),
            "at least 0.8",
        ),
    ]


def _latencies(asked: list[dict[str, list[float]]]) -> list[Figure]:
    figures = []
    for name in asked[0]:
        medians = tuple(statistics.median(spans[name]) for spans in asked)
        slowest = tuple(percentile(spans[name], 0.99) for spans in asked)
        figures.append(Figure(f"{name}, p50", "ms", medians))
        figures.append(Figure(f"{name}, p99", "ms", slowest, promise=FAST))
    return figures
