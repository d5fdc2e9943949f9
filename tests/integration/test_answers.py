"""Shared answers: one computation for many, and never one from before a 201, whoever gave it."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.errors import StorageUnavailable
from maicivy.periods import Period
from maicivy.reports import stats
from maicivy.storage import pubsub
from maicivy.storage.changes import Changes
from maicivy.web import keys
from maicivy.web.ready import Ready
from tests.conftest import (
    API,
    Client,
    ClientFactory,
    FakeClock,
    get_data,
    realtime_of,
    send_event,
    until,
)
from tests.contract.conftest import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS = 1000
NOWHERE = "redis://127.0.0.1:1/0"


class Counted:
    """Stands before a report and counts how often it is computed; `gate` holds it up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str = "realtime") -> None:
        self.calls = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self._compute = getattr(stats, name)
        monkeypatch.setattr(stats, name, self)

    async def __call__(self, *args: Any) -> Any:
        self.calls += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return await self._compute(*args)


async def listening(client: Client) -> Client:
    await until(client.app[keys.HUB].subscribed.is_set)
    return client


async def test_many_who_ask_at_once_share_one_computation(
    client: Client, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await listening(client)
    clock.freeze(clock())
    counted, answers = Counted(monkeypatch), client.app[keys.ANSWERS]
    found = await asyncio.gather(*(answers.realtime() for _ in range(50)))
    assert counted.calls == 1
    assert (await answers.realtime()) is found[0] is found[49]
    await send_event(client)
    assert (await get_data(client, "realtime"))["total_events"] == 1
    assert counted.calls == 2
    clock.advance(seconds=0.9)
    await answers.realtime()
    assert counted.calls == 2
    clock.advance(seconds=0.1)
    await answers.realtime()
    assert counted.calls == 3


async def test_who_asks_after_a_change_waits_for_a_computation_of_its_own(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await listening(client)
    counted, answers = Counted(monkeypatch), client.app[keys.ANSWERS]
    counted.gate.clear()
    early = asyncio.create_task(answers.realtime())
    await until(lambda: counted.calls == 1)
    realtime_of(client).changes.note()
    late = [asyncio.create_task(answers.realtime()) for _ in range(5)]
    await asyncio.sleep(0)
    assert counted.calls == 1
    counted.gate.set()
    found = await asyncio.gather(early, *late)
    assert counted.calls == 2
    assert found[0] is not found[1]
    assert found[1] is found[5]


async def test_a_failure_is_shared_and_not_kept(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await listening(client)
    counted, answers = Counted(monkeypatch), client.app[keys.ANSWERS]
    counted.error = StorageUnavailable("away")
    counted.gate.clear()
    asking = [asyncio.create_task(answers.realtime()) for _ in range(5)]
    await until(lambda: counted.calls == 1)
    counted.gate.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(one) for one in found] == [StorageUnavailable] * 5
    assert counted.calls == 1
    assert (await client.get(f"{API}/realtime")).status == 503
    counted.error = None
    assert (await get_data(client, "realtime"))["total_events"] == 0


async def test_who_leaves_takes_nobody_along(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await listening(client)
    counted, answers = Counted(monkeypatch), client.app[keys.ANSWERS]
    counted.gate.clear()
    asking = [asyncio.create_task(answers.realtime()) for _ in range(3)]
    await until(lambda: counted.calls == 1)
    asking[0].cancel()  # who computes
    asking[1].cancel()  # who waits
    counted.gate.set()
    assert (await asking[2]).data["total_events"] == 0
    assert counted.calls == 2


@pytest.mark.parametrize("path", ["realtime", "stats?period=day"])
async def test_an_event_that_one_instance_has_stored_is_seen_at_the_other(
    make_client: ClientFactory, path: str
) -> None:
    one, other = await listening(await make_client()), await listening(await make_client())
    stale = 0
    for number in range(1, ROUNDS // 2 + 1):
        await send_event(one)
        stale += (await get_data(other, path))["total_events"] != number
    assert stale == 0


async def test_themes_and_letters_are_seen_at_once_too(make_client: ClientFactory) -> None:
    one, other = await listening(await make_client()), await listening(await make_client())
    for number in range(1, 20):
        await send_event(one, "cv_theme_change", event_data={"theme": "a"})
        await send_event(one, "letter_generate", event_data={"letter_type": "motivation"})
        assert await get_data(other, "themes") == [{"theme": "a", "views": number}]
        assert (await get_data(other, "letters?period=day"))["total"] == number


async def test_without_redis_nothing_is_kept(
    make_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = [await make_client(redis=NOWHERE, trusted=False) for _ in range(2)]
    counted = Counted(monkeypatch)
    for number in range(1, 21):
        await send_event(one)
        assert (await get_data(other, "realtime"))["total_events"] == number
    assert counted.calls >= 20
    before = counted.calls
    await asyncio.gather(*(get_data(other, "realtime") for _ in range(20)))
    assert counted.calls < before + 20


async def test_without_the_subscription_nothing_is_kept(
    client: Client, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await listening(client)
    hub, counted = client.app[keys.HUB], Counted(monkeypatch)
    await redis_client.client_kill_filter(_type="pubsub")
    await until(lambda: not hub.subscribed.is_set())
    for _ in range(3):
        await get_data(client, "realtime")
    assert counted.calls >= 3


async def test_who_is_forgotten_here_is_forgotten_at_the_other(make_client: ClientFactory) -> None:
    one, other = await listening(await make_client()), await listening(await make_client())
    await send_event(one, headers={"Sec-Fetch-Site": "same-origin"})
    assert (await get_data(other, "realtime"))["unique_today"] == 1
    assert (await one.delete(f"{API}/me")).status == 200
    assert (await get_data(other, "realtime"))["unique_today"] == 0


async def test_no_answer_outlives_its_day(client: Client, clock: FakeClock) -> None:
    await listening(client)
    noon = clock().replace(hour=12, minute=0)
    clock.freeze(noon.replace(hour=23, minute=59, second=59, microsecond=900_000))
    today, tomorrow = noon.date(), noon.date() + dt.timedelta(days=1)
    before = await get_data(client, "stats?period=day")
    assert before["period_key"] == Period.DAY.key(today)
    clock.advance(seconds=0.2)
    after = await get_data(client, "stats?period=day")
    assert after["period_key"] == Period.DAY.key(tomorrow)


async def test_visitors_fall_out_within_a_second(client: Client, clock: FakeClock) -> None:
    await listening(client)
    clock.freeze(clock())
    await send_event(client)
    assert (await get_data(client, "realtime"))["current_visitors"] == 1
    clock.advance(seconds=301)
    assert (await get_data(client, "realtime"))["current_visitors"] == 0


async def test_the_gauges_show_the_shared_numbers(client: Client) -> None:
    await listening(client)
    await send_event(client)
    data = await get_data(client, "realtime")
    text = await (await client.get("/metrics")).text()
    assert f"maicivy_current_visitors {float(data['current_visitors'])}" in text


REPORTS = ("realtime", "stats?period=day", "letters?period=week", "themes", "heatmap")


@pytest.mark.parametrize("path", REPORTS)
async def test_who_has_an_answer_already_is_told_so(
    client: Client, clock: FakeClock, path: str
) -> None:
    await listening(client)
    clock.freeze(clock())
    first = await client.get(f"{API}/{path}")
    etag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "no-cache"
    for asked in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        again = await client.get(f"{API}/{path}", headers={"If-None-Match": asked})
        assert (again.status, await again.read()) == (304, b""), asked
        assert again.headers["ETag"] == etag
        assert again.headers["Cache-Control"] == "no-cache"
    for asked in ('"x"', "x", ""):
        again = await client.get(f"{API}/{path}", headers={"If-None-Match": asked})
        assert (again.status, await again.read()) == (200, await first.read()), asked
    head = await client.head(f"{API}/{path}")
    assert (head.status, head.headers["ETag"]) == (200, etag)
    assert head.headers["Content-Length"] == first.headers["Content-Length"]
    head = await client.head(f"{API}/{path}", headers={"If-None-Match": etag})
    assert head.status == 304
    place = {"theme": "a", "x": 1, "y": 1, "letter_type": "motivation"}
    await send_event(client, "letter_generate", event_data=place)
    await send_event(client, "cv_theme_change", event_data=place)
    again = await client.get(f"{API}/{path}", headers={"If-None-Match": etag})
    assert again.status == 200
    assert again.headers["ETag"] != etag


async def test_every_answer_has_the_head_that_its_request_asks_for(
    make_client: ClientFactory, clock: FakeClock
) -> None:
    settings = {"allowed_origins": ("https://cv.example",), "trusted_proxies": LOOPBACK}
    client = await listening(await make_client(**settings))
    clock.freeze(clock())
    url, whole = f"{API}/realtime", []
    for _ in range(3):
        response = await client.get(url)
        whole.append((response.status, sorted(response.headers.items()), await response.read()))
    assert whole[0] == whole[1] == whole[2]
    assert isinstance((await client.app[keys.ANSWERS].realtime()).ready, Ready)
    assert "Origin" in response.headers["Vary"]
    foreign = await client.get(url, headers={"Origin": "https://cv.example"})
    assert foreign.headers["Access-Control-Allow-Origin"] == "https://cv.example"
    secure = await client.get(url, headers={"X-Forwarded-Proto": "https"})
    assert "Strict-Transport-Security" in secure.headers
    assert await secure.read() == await foreign.read() == whole[0][2]
    last = await client.get(url, headers={"Connection": "close"})
    assert last.headers["Connection"] == "close"
    assert "Access-Control-Allow-Origin" not in (await client.get(url)).headers
    metrics = await (await client.get("/metrics")).text()
    counted = (
        'duration_seconds_count{endpoint="/api/v1/analytics/realtime",method="GET",status="200"}'
    )
    assert f"{counted} 7.0" in metrics


async def test_rows_of_visitors_are_kept_nowhere(client: Client) -> None:
    for path in ("timeline", "ledger"):
        response = await client.get(f"{API}/{path}")
        assert response.headers["Cache-Control"] == "no-store"
        assert "ETag" not in response.headers


def reply(channel: str, payload: bytes) -> bytes:
    return b"*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (
        len(channel), channel.encode(), len(payload), payload,
    )  # fmt: skip


CONFIRMED = b"*3\r\n$9\r\nsubscribe\r\n$17\r\nanalytics:changed\r\n:2\r\n"


class Heard:
    """A hub that only listens."""

    def __init__(self) -> None:
        self.events: list[Sequence[bytes]] = []
        self.skipped = 0

    def deliver(self, events: Sequence[bytes]) -> None:
        self.events.append(events)

    def skip(self, count: int) -> None:
        self.skipped += count


async def test_what_has_come_and_is_not_read_yet_counts_as_a_change() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    hub = Heard()
    heard = hub.events
    changes, ready = Changes(), asyncio.Event()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    subscription = pubsub.Subscription(transport, changes, hub, ready)
    transport.set_protocol(subscription)
    assert changes.count() != changes.count()  # not subscribed
    theirs.sendall(CONFIRMED)
    await asyncio.wait_for(ready.wait(), 5)
    assert changes.count() == changes.count()

    before = changes.count()
    theirs.sendall(reply("analytics:changed", b"another"))
    assert changes.count() != before  # nothing has read it
    await until(lambda: not subscription.unheard())
    assert changes.count() == changes.count()

    before = changes.count()
    theirs.sendall(reply("analytics:changed", changes.name))
    await asyncio.sleep(0.05)
    assert changes.count() == before  # it is our own, and noted before

    theirs.sendall(reply("analytics:changed", changes.name + b" 7"))
    await until(lambda: hub.skipped == 7)
    assert changes.count() == before
    theirs.sendall(reply("analytics:changed", b"another 5"))
    await until(lambda: hub.skipped == 12)
    assert changes.count() != before

    theirs.sendall(reply("analytics:realtime", b"one") + reply("analytics:realtime", b"two")[:-4])
    await until(lambda: heard)
    assert changes.count() != changes.count()  # half of a message is here
    theirs.sendall(b"wo\r\n")
    await until(lambda: len(heard) == 2)
    assert heard == [[b"one"], [b"two"]]

    theirs.close()
    await until(lambda: not ready.is_set())
    assert changes.count() != changes.count()
    transport.close()
