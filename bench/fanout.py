"""The live feed before many clients: how long after the 201 the last of them has the event.

The clients are one process that does as little as possible, and share the cores with the program.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

import aiohttp

from bench.figures import Figure, percentile
from bench.program import ROOT, Program, running

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTLE_SECONDS = 1.0
# So much is sent to a client that never reads before anything is measured.
PADDING_EVENTS, PADDING_KIB = 400, 12


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many clients, and so many more that never read, before so many events a second."""

    clients: int
    deaf: int
    events_per_second: int
    seconds: int
    promise: str

    @property
    def name(self) -> str:
        """What is measured."""
        beside = " beside one that never reads" if self.deaf else ""
        return f"{self.clients:,} clients{beside}, {self.events_per_second} events/s"


CROWDS = (
    Crowd(50, 0, 20, 15, "at most 5 ms"),
    Crowd(50, 1, 20, 15, "at most 5 ms"),
    Crowd(1000, 0, 20, 15, "at most 40 ms"),
    Crowd(5000, 0, 5, 15, "at most 150 ms"),
)


async def post(
    session: aiohttp.ClientSession, program: Program, n: int, padding: str = ""
) -> float:
    """Send one event; return when it was acknowledged."""
    data = {"n": n} if n >= 0 else {f"k{key}": padding for key in range(PADDING_KIB)}
    body = {"event_type": "bench", "event_data": data}
    headers = {"X-Forwarded-For": f"203.0.{abs(n) // 90 % 250}.{abs(n) % 90}"}
    url = f"{program.url}/api/v1/analytics/event"
    async with session.post(url, json=body, headers=headers) as response:
        if response.status != 201:
            raise SystemExit(await response.text())
    return time.monotonic()


async def drive(program: Program, crowd: Crowd) -> tuple[dict[int, float], float]:
    """Send events at the crowd's pace; return when each was acknowledged, and the CPU share."""
    async with aiohttp.ClientSession() as session:
        for n in range(PADDING_EVENTS * crowd.deaf):
            await post(session, program, -n - 1, "x y " * 256)
        await asyncio.sleep(SETTLE_SECONDS)
        cpu, started, posts = program.cpu_seconds(), time.monotonic(), []
        for n in range(crowd.events_per_second * crowd.seconds):
            due = started + n / crowd.events_per_second
            await asyncio.sleep(max(0, due - time.monotonic()))
            posts.append(asyncio.create_task(post(session, program, n)))
        acknowledged = dict(enumerate(await asyncio.gather(*posts)))
        share = (program.cpu_seconds() - cpu) / (time.monotonic() - started)
        await asyncio.sleep(SETTLE_SECONDS)
    return acknowledged, share


def watch(program: Program, crowd: Crowd) -> subprocess.Popen[bytes]:
    """Connect the crowd."""
    sizes = (program.port, crowd.clients, crowd.deaf)
    watching = subprocess.Popen(
        [sys.executable, "-m", "bench.watchers", *map(str, sizes)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    if cast("IO[bytes]", watching.stdout).readline() != b"ready\n":
        raise SystemExit("the clients are not all connected")
    return watching


def one_round(crowd: Crowd) -> tuple[float, float, float, float]:
    """Return the p50 and p99 in ms, the share of events that all had, and CPU in %."""
    settings = {"MAICIVY_TRUSTED_PROXIES": "127.0.0.0/8", "MAICIVY_WS_MAX_CONNECTIONS": "10000"}
    with running(settings) as program:
        watching = watch(program, crowd)
        acknowledged, share = asyncio.run(drive(program, crowd))
        found = json.loads(watching.communicate(timeout=60)[0])
    whole = [n for n in acknowledged if found["seen"].get(str(n)) == crowd.clients]
    spans = [max(0.0, found["last"][str(n)] - acknowledged[n]) * 1000 for n in whole]
    complete = len(whole) / len(acknowledged) * 100
    return percentile(spans, 0.5), percentile(spans, 0.99), complete, share * 100


async def measure(rounds: int) -> list[Figure]:
    """Measure each crowd."""
    figures = []
    for crowd in CROWDS:
        seen = [await asyncio.to_thread(one_round, crowd) for _ in range(rounds)]
        figures += _figures(crowd, seen)
    return figures


def _figures(crowd: Crowd, seen: Sequence[tuple[float, ...]]) -> list[Figure]:
    p50, p99, complete, cpu = zip(*seen, strict=True)
    return [
        Figure(f"{crowd.name}: 201 to the last client, p50", "ms", p50),
        Figure(f"{crowd.name}: 201 to the last client, p99", "ms", p99, promise=crowd.promise),
        Figure(f"{crowd.name}: events that all had", "%", complete, promise="100"),
        Figure(f"{crowd.name}: CPU of the program", "% of a core", cpu),
    ]
