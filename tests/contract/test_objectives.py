"""The performance objectives that a test can hold on any machine; bench/ measures the rest."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from typing import TYPE_CHECKING, Any

from yarl import URL

from maicivy.config import Config
from tests.conftest import API, send_event
from tests.contract.document import SEED

if TYPE_CHECKING:
    import redis.asyncio

    from tests.conftest import Client

LATENCY, THROUGHPUT = SEED.section("Latence"), SEED.section("Throughput")
MEMORY = SEED.section("Performance Objectives", "Ressources")
ANSWER_MILLISECONDS = LATENCY.number(r"`GET /analytics/\*` : \*\*< (\d+)ms\*\*")
BROADCAST_MILLISECONDS = LATENCY.number(r"WebSocket broadcast : \*\*< (\d+)ms\*\*")
SCRAPE_MILLISECONDS = THROUGHPUT.number(r"Prometheus scrape : \*\*< (\d+)ms\*\*")
EVENTS_A_MINUTE = THROUGHPUT.number(r"\*\*(\d+) événements/min\*\* supportés")
MEGABYTES = MEMORY.number(r"~(\d+)MB pour 1M visiteurs uniques \(HyperLogLog\)")
K6 = SEED.section("Load testing (k6)").text("javascript")
MILLISECOND = 0.001
QUESTIONS = (
    "realtime",
    "stats?period=day",
    "themes",
    "letters?period=month",
    "timeline",
    "heatmap",
)


async def median_seconds(client: Client, path: str, times: int = 15) -> float:
    """Return the median time of an answer."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        response = await client.get(path)
        await response.read()
        taken.append(time.perf_counter() - started)
        assert response.status == 200, path
    return statistics.median(taken)


async def test_answers_are_fast(seed_client: Client) -> None:
    for n in range(50):
        await send_event(seed_client, event_data={"x": n, "y": n})
    for question in QUESTIONS:
        taken = await median_seconds(seed_client, f"{API}/{question}")
        assert taken < ANSWER_MILLISECONDS * MILLISECOND, question
    assert await median_seconds(seed_client, "/metrics") < SCRAPE_MILLISECONDS * MILLISECOND


async def test_the_load_tests_own_checks(seed_client: Client) -> None:
    url = URL(re.findall(r"http\.get\('(.+)'\)", K6)[0])
    [clients] = map(int, re.findall(r"vus: (\d+)", K6))
    [status] = map(int, re.findall(r"r\.status === (\d+)", K6))
    [milliseconds] = map(int, re.findall(r"r\.timings\.duration < (\d+)", K6))
    assert (url.host, url.port) == ("localhost", Config().port)
    responses = await asyncio.gather(*(seed_client.get(url.path) for _ in range(clients)))
    assert {response.status for response in responses} == {status}
    assert await median_seconds(seed_client, url.path) < milliseconds * MILLISECOND


async def test_an_event_reaches_the_socket_fast(seed_client: Client) -> None:
    taken = []
    async with seed_client.ws_connect("/ws/analytics") as socket:
        for n in range(15):
            started = time.perf_counter()
            sending = asyncio.create_task(send_event(seed_client, f"e{n}"))
            while (await socket.receive_json(timeout=5))["type"] != f"e{n}":
                pass
            taken.append(time.perf_counter() - started)
            await sending
    assert statistics.median(taken) < BROADCAST_MILLISECONDS * MILLISECOND


async def test_so_many_events_fit_into_a_minute(seed_client: Client) -> None:
    async with asyncio.timeout(60):
        for _ in range(EVENTS_A_MINUTE // 50):
            await asyncio.gather(*(send_event(seed_client) for _ in range(50)))
    response = await seed_client.get(f"{API}/realtime")
    assert (await response.json())["data"]["total_events"] == EVENTS_A_MINUTE


async def test_a_million_visitors_fit_into_redis(
    seed_client: Client, redis_client: redis.asyncio.Redis
) -> None:
    """A full sketch has one size, however many visitors; every period that is kept has one."""
    await send_event(seed_client)
    [name] = [name async for name in redis_client.scan_iter(match="*:unique:day:*")]
    await redis_client.pfadd(name, *map(str, range(50_000)))
    size: Any = await redis_client.memory_usage(name)
    sketches = 90 + 365 // 7 + 365 // 28
    assert size > 12_000
    assert size * sketches < MEGABYTES * 1_000_000
