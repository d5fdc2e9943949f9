"""The seed's load: 1,000 events a minute while 50 WebSocket clients watch.

Says how long an event takes from its POST until the last client has it, whether every client saw
every event exactly once, and how much CPU the program used.
"""

from __future__ import annotations

import asyncio
import collections
import json
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bench.figures import Figure, percentile
from bench.program import Program, running

EVENTS_PER_MINUTE = 1000
CLIENTS = 50
SETTLE_SECONDS = 2.0
ROUND_SECONDS = 60.0
PROMISES = {
    "events not answered 201": "0",
    "clients that saw every event once": "50",
    "POST to the last client, p99": "at most 50 ms",
    "CPU of the program": "at most 30 %",
}


@dataclass
class Tally:
    """What was sent and who received it: times in seconds of one clock."""

    sent_at: dict[int, float] = field(default_factory=dict)
    answered: collections.Counter[int] = field(default_factory=collections.Counter)
    answer_seconds: list[float] = field(default_factory=list)
    received: list[collections.Counter[int]] = field(default_factory=list)
    last_at: dict[int, float] = field(default_factory=dict)


async def watch(
    session: aiohttp.ClientSession, program: Program, tally: Tally, seen: collections.Counter[int]
) -> None:
    """Receive the feed for good."""
    async with session.ws_connect(f"{program.url}/ws/analytics", compress=0) as socket:
        async for message in socket:
            data: Any = json.loads(message.data)
            if data["type"] == "bench":
                event = data["data"]["n"]
                seen[event] += 1
                tally.last_at[event] = time.perf_counter()


async def post(session: aiohttp.ClientSession, program: Program, tally: Tally, n: int) -> None:
    """Send one event."""
    body = {"event_type": "bench", "event_data": {"n": n, "x": n % 900, "y": n % 700},
            "page_url": f"/cv?theme=t{n % 7}"}  # fmt: skip
    tally.sent_at[n] = started = time.perf_counter()
    url = f"{program.url}/api/v1/analytics/event"
    headers = {"X-Forwarded-For": f"203.0.{n % 250}.{n % 199}"}
    async with session.post(url, json=body, headers=headers) as response:
        tally.answered[response.status] += 1
    tally.answer_seconds.append(time.perf_counter() - started)


async def drive(program: Program, seconds: float) -> tuple[Tally, float]:
    """Apply the load for `seconds`; return what was seen and the CPU share of one core."""
    tally = Tally(received=[collections.Counter() for _ in range(CLIENTS)])
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        watching = [
            asyncio.create_task(watch(session, program, tally, seen)) for seen in tally.received
        ]
        await asyncio.sleep(SETTLE_SECONDS)
        cpu, started = program.cpu_seconds(), time.perf_counter()
        posts = []
        for n in range(int(EVENTS_PER_MINUTE * seconds / 60)):
            await asyncio.sleep(max(0, started + n * 60 / EVENTS_PER_MINUTE - time.perf_counter()))
            posts.append(asyncio.create_task(post(session, program, tally, n)))
        await asyncio.gather(*posts)
        share = (program.cpu_seconds() - cpu) / (time.perf_counter() - started)
        await asyncio.sleep(SETTLE_SECONDS)
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)
    return tally, share


def figures_of(tally: Tally, share: float) -> dict[str, float]:
    """Return the figures of one round, in milliseconds where they are times."""
    spans = [
        (tally.last_at[n] - at) * 1000 for n, at in tally.sent_at.items() if n in tally.last_at
    ]
    answers = [seconds * 1000 for seconds in tally.answer_seconds]
    expected = dict.fromkeys(tally.sent_at, 1)
    return {
        "events not answered 201": len(tally.sent_at) - tally.answered[201],
        "clients that saw every event once": sum(dict(seen) == expected for seen in tally.received),
        "POST to its answer, p50": statistics.median(answers),
        "POST to its answer, p99": percentile(answers, 0.99),
        "POST to the last client, p50": statistics.median(spans),
        "POST to the last client, p99": percentile(spans, 0.99),
        "CPU of the program": share * 100,
    }


async def measure(rounds: int) -> list[Figure]:
    """Apply the load for so many minutes; the last client is promised the event within 50 ms."""
    with running({"MAICIVY_TRUSTED_PROXIES": "127.0.0.0/8"}) as program:
        seen = [figures_of(*await drive(program, ROUND_SECONDS)) for _ in range(rounds)]
    return [
        Figure(name, _unit(name), tuple(one[name] for one in seen), promise=PROMISES.get(name, ""))
        for name in seen[0]
    ]


def _unit(name: str) -> str:
    if name.startswith("CPU"):
        return "% of a core"
    return "ms" if name.startswith("POST") else ""
