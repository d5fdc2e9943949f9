"""What a dashboard asks, over a million events of 30 days: one by one, filtered, by eight at once.

BENCH_EVENTS, BENCH_DAYS and BENCH_VISITORS change its size. TMPDIR says where the data are.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import statistics
import time
from typing import TYPE_CHECKING

import aiohttp

from bench import wrk
from bench.dataset import Size, prepared
from bench.figures import Figure, percentile
from bench.program import running

if TYPE_CHECKING:
    from pathlib import Path

BASE = "/api/v1/analytics"
DAYS = 30
TIMES = 30
TIMES_TOGETHER = 5
READERS = 8
# One that few visitors match, one that a quarter and one that a third of the visits do.
ASKED = {
    "": "",
    " of one source": "&source=news.example",
    " of one browser": "&browser=Chrome",
    " of one page": "&path=/cv",
}


def questions(days: int) -> dict[str, str]:
    """Return the first screen of a dashboard."""
    last = dt.datetime.now(dt.UTC).date()
    span = f"from={last - dt.timedelta(days=days - 1)}&to={last}"
    return {
        "summary": f"sessions/summary?{span}&compare=previous",
        "summary of today": "sessions/summary?period=day&compare=previous",
        "time series": f"timeseries?metric=visitors&interval=day&{span}",
        "pages": f"pages?{span}",
        "sources": f"sources?{span}",
        "devices": f"devices?by=browser&{span}",
        "events": f"events?{span}",
        "themes": f"themes?{span}",
    }


async def ask(session: aiohttp.ClientSession, url: str) -> float:
    """Return the milliseconds until a report was there."""
    started = time.perf_counter()
    async with session.get(url) as response:
        body = await response.read()
    if response.status != 200:
        raise SystemExit(f"{url} was answered {response.status}: {body.decode()}")
    return (time.perf_counter() - started) * 1000


async def first_screen(data: Path, paths: dict[str, str]) -> float:
    """Return the milliseconds of a whole screen, first thing after the start."""
    with running(wrk.settings(MAICIVY_DATA_DIR=str(data))) as program:
        async with aiohttp.ClientSession() as session:
            started = time.perf_counter()
            await asyncio.gather(
                *(ask(session, f"{program.url}{BASE}/{path}") for path in paths.values())
            )
            return (time.perf_counter() - started) * 1000


async def each(
    url: str, paths: dict[str, str], more: str = "", times: int = TIMES
) -> dict[str, list[float]]:
    """Return the milliseconds of every report, one after the other."""
    spans: dict[str, list[float]] = {name: [] for name in paths}
    async with aiohttp.ClientSession() as session:
        for _ in range(times):
            for name, path in paths.items():
                spans[name].append(await ask(session, f"{url}{BASE}/{path}{more}"))
    return spans


async def together(url: str, paths: dict[str, str], more: str = "") -> list[float]:
    """Return the milliseconds of all reports that eight readers ask for at once."""
    read = await asyncio.gather(*(each(url, paths, more, TIMES_TOGETHER) for _ in range(READERS)))
    return [one for spans in read for values in spans.values() for one in values]


def dataset() -> Size:
    """Return a million events of 70,000 visitors in 30 days, or what the environment asks for."""
    os.environ.setdefault("BENCH_EVENTS", "1000000")
    os.environ.setdefault("BENCH_DAYS", str(DAYS))
    return Size.asked(70_000)


async def measure(rounds: int) -> list[Figure]:
    """Ask for the whole screen after each start, and then for its parts."""
    size = dataset()
    paths = questions(size.days)
    async with prepared(size) as (data, count):
        screens = [await first_screen(data, paths) for _ in range(rounds)]
        alone: dict[str, list[dict[str, list[float]]]] = {narrowed: [] for narrowed in ASKED}
        beside: dict[str, list[list[float]]] = {narrowed: [] for narrowed in ASKED}
        with running(wrk.settings(MAICIVY_DATA_DIR=str(data))) as program:
            for _ in range(rounds):
                for narrowed, more in ASKED.items():
                    alone[narrowed].append(await each(program.url, paths, more))
                    beside[narrowed].append(await together(program.url, paths, more))
    figures = [
        Figure("events", "", (count,)),
        Figure("the first screen after the start", "ms", tuple(screens), promise="under 500 ms"),
    ]
    for narrowed, rounds_alone in alone.items():
        figures += _latencies(rounds_alone, narrowed, f"under {250 if narrowed else 50} ms")
        name = f"all{narrowed}, {READERS} readers at once"
        figures.append(_p99(name, beside[narrowed], "under 500 ms"))
    return figures


def _latencies(rounds: list[dict[str, list[float]]], narrowed: str, promise: str) -> list[Figure]:
    figures = []
    for name in rounds[0]:
        middle = tuple(statistics.median(spans[name]) for spans in rounds)
        figures.append(Figure(f"{name}{narrowed}, p50", "ms", middle))
        figures.append(_p99(f"{name}{narrowed}", [spans[name] for spans in rounds], promise))
    return figures


def _p99(name: str, rounds: list[list[float]], promise: str) -> Figure:
    values = tuple(percentile(spans, 0.99) for spans in rounds)
    return Figure(f"{name}, p99", "ms", values, promise=promise)
