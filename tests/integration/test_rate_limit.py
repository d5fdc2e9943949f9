"""At most 100 events in any minute for one client, here and elsewhere, with Redis and without."""

from __future__ import annotations

import asyncio
import re
from ipaddress import ip_network
from typing import TYPE_CHECKING

from maicivy.errors import StorageUnavailable
from maicivy.ingest import limiter
from maicivy.ingest.limiter import SlidingLog
from maicivy.storage import places
from maicivy.storage.places import Places
from maicivy.web import keys
from tests.conftest import API, Client, ClientFactory, Database, realtime_of

if TYPE_CHECKING:
    import pytest
    from redis.asyncio import Redis


async def post(client: Client, **headers: str) -> tuple[int, dict[str, str]]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await client.post(f"{API}/event", json={"event_type": "x"}, headers=names)
    return response.status, dict(response.headers)


async def test_the_hundred_and_first_is_refused(
    make_client: ClientFactory, database: Database, redis_client: object
) -> None:
    client = await make_client(event_rate_limit=100)
    answers = [await post(client) for _ in range(101)]
    assert [status for status, _ in answers] == [201] * 100 + [429]
    first, last = answers[0][1], answers[-1][1]
    assert first["RateLimit-Policy"] == '"event";q=100;w=60'
    assert re.fullmatch(r'"event";r=99;t=\d+', first["RateLimit"])
    assert (first["X-RateLimit-Limit"], first["X-RateLimit-Remaining"]) == ("100", "99")
    assert last["X-RateLimit-Remaining"] == "0"
    assert 0 < int(last["Retry-After"]) <= 60
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 100


async def test_it_is_one_limit_across_processes_and_separate_for_each_client(
    make_client: ClientFactory,
) -> None:
    settings = {"event_rate_limit": 10, "trusted_proxies": (ip_network("127.0.0.0/8"),)}
    one, two = await make_client(**settings), await make_client(**settings)
    results = await asyncio.gather(
        *(post(client, X_Forwarded_For="2001:db8::1") for client in (one, two) for _ in range(10))
    )
    assert sorted(status for status, _ in results) == [201] * 10 + [429] * 10
    assert (await post(one, X_Forwarded_For="2001:db8::2"))[0] == 429  # the same /64
    assert (await post(one, X_Forwarded_For="2001:db8:1::1"))[0] == 201
    assert (await post(one, X_Forwarded_For="192.0.2.1"))[0] == 201


async def test_without_redis_this_process_counts(make_client: ClientFactory) -> None:
    client = await make_client(event_rate_limit=5)
    assert (await post(client))[0] == 201
    statuses = []
    for _ in range(6):
        client.app[keys.REALTIME]._breaker.failed()
        statuses.append((await post(client))[0])
    assert statuses == [201] * 4 + [429] * 2


async def test_zero_turns_it_off(make_client: ClientFactory) -> None:
    client = await make_client(event_rate_limit=0)
    status, headers = await post(client)
    assert status == 201
    assert "RateLimit" not in headers


async def test_wrong_bodies_count_too(make_client: ClientFactory) -> None:
    client = await make_client(event_rate_limit=2)
    for status in (400, 400, 429):
        response = await client.post(f"{API}/event", data="{")
        assert response.status == status
        assert "RateLimit" in response.headers


def test_the_window_slides() -> None:
    now = [0.0]
    log = SlidingLog(3, 60, clock=lambda: now[0])
    for second in (0, 30, 59):
        now[0] = second
        assert log.take("a").allowed
    assert not log.take("a").allowed
    now[0] = 60.0  # the first has just fallen out, the other two have not
    allowance = log.take("a")
    assert (allowance.allowed, allowance.remaining, allowance.reset_seconds) == (True, 0, 30.0)
    assert not log.take("a").allowed
    log.give_back("a")
    assert log.take("a").allowed


def test_strangers_do_not_fill_the_memory() -> None:
    log = SlidingLog(1)
    for n in range(limiter.MAX_CLIENTS + 500):
        log.take(str(n))
    assert len(log._taken) == limiter.MAX_CLIENTS


async def test_who_asks_together_is_answered_by_one_call_and_each_alone(
    make_client: ClientFactory, redis_client: Redis
) -> None:
    places = Places(realtime_of(await make_client()), 3, 60)
    before = await _calls(redis_client)
    answers = await asyncio.gather(*(places.take(f"client{n % 4}", 1) for n in range(16)))
    for client in range(4):
        own = answers[client::4]
        assert [answer.allowed for answer in own] == [True, True, True, False]
        assert [answer.remaining for answer in own] == [2, 1, 0, 0]
    assert await _calls(redis_client) - before == 1


async def test_a_heavy_request_takes_all_its_places_or_none(make_client: ClientFactory) -> None:
    places = Places(realtime_of(await make_client()), 10, 60)
    assert (await places.take("a", 7)).remaining == 3
    refused = await places.take("a", 4)
    assert (refused.allowed, refused.remaining) == (False, 3)
    assert (await places.take("a", 3)).remaining == 0
    log = SlidingLog(10)
    assert [log.take("a", weight).allowed for weight in (7, 4, 3, 1)] == [True, False, True, False]
    log.give_back("a", 3)
    assert log.take("a", 3).allowed


async def test_whoever_waits_for_a_place_is_answered_when_redis_answers_nonsense(
    make_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "TAKE", "return {1}")
    asked = Places(realtime_of(await make_client()), 3, 60)
    answers = await asyncio.gather(*(asked.take("a", 1) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [StorageUnavailable] * 3


async def _calls(redis_client: Redis) -> int:
    """Return how many scripts that take places have run: the only ones in a program at rest."""
    stats = await redis_client.info("commandstats")
    return int(stats.get("cmdstat_eval", {"calls": 0})["calls"])
