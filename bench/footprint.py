"""What the program needs when nothing happens, and after a million events at the label bounds.

The events have more types, paths and themes than the metrics have labels for.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from bench.figures import Figure, percentile
from bench.program import running

if TYPE_CHECKING:
    from bench.program import Program

EVENTS = 1_000_000
BATCH = 200
VARIETY = 150
SENDERS = 8
IDLE_SECONDS = 20.0
SCRAPES = 50
SETTINGS = {"MAICIVY_EVENT_RATE_LIMIT": "0"}


def resident_mb(program: Program) -> float:
    """Return the resident memory of the program's own process in MB (10^6 bytes)."""
    for line in Path(f"/proc/{program.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("the program is gone")


def _bodies() -> list[bytes]:
    """Return the bodies of requests, of which the later ones hold what the earlier ones do not."""
    events = [
        [
            {"event_type": f"kind_{n}"},
            {"event_type": "page_view", "page_url": f"/page/{n}"},
            {"event_type": "cv_theme_change", "event_data": {"theme": f"theme-{n}"}},
            {"event_type": "button_click", "event_data": {"x": n * 7, "y": n * 11}},
        ]
        for n in range(VARIETY)
    ]
    flat = [event for group in events for event in group]
    return [
        json.dumps({"events": (flat * 2)[start : start + BATCH]}).encode()
        for start in range(0, len(flat), BATCH // 4)
    ]


async def _send(session: aiohttp.ClientSession, program: Program, events: int) -> None:
    bodies, left = _bodies(), iter(range(events // BATCH))

    async def sender() -> None:
        for number in left:
            body = bodies[number % len(bodies)]
            async with session.post(f"{program.url}/api/v1/analytics/events", data=body) as answer:
                if answer.status != 201:
                    raise SystemExit(await answer.text())

    await asyncio.gather(*(sender() for _ in range(SENDERS)))


async def _scrapes(session: aiohttp.ClientSession, program: Program) -> list[float]:
    seen = []
    for _ in range(SCRAPES):
        started = time.perf_counter()
        async with session.get(f"{program.url}/metrics") as answer:
            await answer.read()
        seen.append((time.perf_counter() - started) * 1000)
    return seen


async def _one() -> dict[str, float]:
    headers = {"Content-Type": "application/json"}
    with running(SETTINGS) as program:
        async with aiohttp.ClientSession(headers=headers) as session:
            await asyncio.sleep(5)
            cpu = program.cpu_seconds()
            await asyncio.sleep(IDLE_SECONDS)
            idle = (program.cpu_seconds() - cpu) / IDLE_SECONDS
            await _send(session, program, EVENTS // 2)
            half = resident_mb(program)
            await _send(session, program, EVENTS // 2)
            whole = resident_mb(program)
            scrapes = await _scrapes(session, program)
    return {
        "CPU at rest": idle * 100,
        "memory after 1,000,000 events": whole,
        "memory grown over the last half": whole - half,
        "scrape at the label bounds, p50": percentile(scrapes, 0.5),
        "scrape at the label bounds, p99": percentile(scrapes, 0.99),
    }


PROMISES = {
    "CPU at rest": ("% of a core", "under 1 %"),
    "memory after 1,000,000 events": ("MB", "under 100 MB"),
    "memory grown over the last half": ("MB", "flat"),
    "scrape at the label bounds, p50": ("ms", "under 20 ms"),
    "scrape at the label bounds, p99": ("ms", "under 20 ms"),
}


async def measure(rounds: int) -> list[Figure]:
    """Measure all of it so many times, each in a program of its own."""
    seen = [await _one() for _ in range(rounds)]
    return [
        Figure(name, unit, tuple(one[name] for one in seen), promise=promise)
        for name, (unit, promise) in PROMISES.items()
    ]
