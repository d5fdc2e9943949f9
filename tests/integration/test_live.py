"""The live feed: the seed's messages, limits, slow readers, goodbyes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from maicivy.background import clients
from maicivy.background import hub as hub_module
from maicivy.ingest.sampling import EVENTS_PER_SECOND
from maicivy.storage import pubsub
from maicivy.web import keys, live
from tests.conftest import API, Client, ClientFactory, get_data, send_event, until

if TYPE_CHECKING:
    import redis.asyncio

WS = "/ws/analytics"


async def read(socket: ClientWebSocketResponse, kind: str) -> Any:
    """Return the next message of that type."""
    while True:
        message = await socket.receive_json(timeout=10)
        if message["type"] == kind:
            return message


@pytest.fixture
async def live_client(make_client: ClientFactory) -> Client:
    client = await make_client()
    await until(client.app[keys.HUB].subscribed.is_set)
    return client


async def test_stats_first_then_events_as_they_come(live_client: Client) -> None:
    async with live_client.ws_connect(WS) as socket:
        first = await socket.receive_json(timeout=5)
        assert first["type"] == "initial_stats"
        assert set(first["data"]) == {
            "current_visitors",
            "unique_today",
            "total_events",
            "letters_today",
            "timestamp",
        }
        await send_event(
            live_client, "page_view", event_data={"path": "/cv"}, page_url="/cv?theme=backend"
        )
        message = await read(socket, "page_view")
        [event] = await get_data(live_client, "timeline")
        assert message == {
            "type": "page_view",
            "visitor_id": event["visitor_id"],
            "timestamp": event["created_at"],
            "page_url": "/cv?theme=backend",
            "data": {"path": "/cv"},
        }
        await socket.send_json({"type": "refresh_stats"})
        assert (await read(socket, "initial_stats"))["data"]["total_events"] == 1


async def test_what_is_broadcast_before_the_first_numbers_comes_after_them(
    live_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, gate = live_client.app[keys.HUB], asyncio.Event()
    stats_message = hub.stats_message

    async def slow(kind: str) -> Any:
        await gate.wait()
        return await stats_message(kind)

    monkeypatch.setattr(hub, "stats_message", slow)
    async with live_client.ws_connect(WS) as socket:
        hub.broadcast([b'{"type": "early"}'])
        gate.set()
        types = [(await socket.receive_json(timeout=5))["type"] for _ in range(2)]
    assert types == ["initial_stats", "early"]


async def test_the_heartbeat_beats(live_client: Client) -> None:
    async with live_client.ws_connect(WS) as socket:
        first = await read(socket, "heartbeat")
        second = await read(socket, "heartbeat")
    elapsed = second["data"]["timestamp"] - first["data"]["timestamp"]
    assert elapsed in {4, 5, 6}


async def test_ping_and_what_is_not_understood(live_client: Client) -> None:
    async with live_client.ws_connect(WS) as socket:
        await socket.send_json({"type": "ping"})
        pong = await read(socket, "pong")
        assert isinstance(pong["time"], int)
        for text, code in (
            ("{", "invalid_json"),
            ("[]", "invalid_body"),
            ('{"type":"x"}', "unknown_type"),
            ('{"type":["ping"]}', "unknown_type"),
            ("{}", "unknown_type"),
        ):
            await socket.send_str(text)
            assert (await read(socket, "error"))["code"] == code
        await socket.send_bytes(b"{}")
        assert (await read(socket, "error"))["code"] == "binary_message"
        await socket.send_str("x" * 4096)
        assert (await read(socket, "error"))["code"] == "invalid_json"
        await socket.send_str("x" * 4097)
        while (message := await socket.receive(timeout=5)).type is WSMsgType.TEXT:
            pass
        assert message.type in {WSMsgType.CLOSE, WSMsgType.CLOSED}
        assert socket.close_code == 1009


async def test_a_flood_is_closed(live_client: Client) -> None:
    async with live_client.ws_connect(WS) as socket:
        for _ in range(live.FLOOD_MESSAGES + 1):
            await socket.send_str('{"type":"ping"}')
        while not socket.closed:
            await socket.receive(timeout=5)
        assert socket.close_code == 1008


async def test_one_more_than_allowed_is_refused(make_client: ClientFactory) -> None:
    client = await make_client(ws_max_connections=2)
    sockets = [await client.ws_connect(WS) for _ in range(2)]
    with pytest.raises(WSServerHandshakeError) as caught:
        await client.ws_connect(WS)
    assert caught.value.status == 503
    assert caught.value.headers is not None
    assert int(caught.value.headers["Retry-After"]) > 0
    metrics = await (await client.get("/metrics")).text()
    assert "maicivy_websocket_connections 2.0" in metrics
    await sockets[0].close()
    await until(lambda: len(client.app[keys.HUB]._clients) == 1)
    await (await client.ws_connect(WS)).close()
    await sockets[1].close()


async def test_who_does_not_upgrade_is_told_so(client: Client) -> None:
    response = await client.get(WS)
    assert response.status == 426
    assert response.headers["Upgrade"] == "websocket"
    assert (await response.json())["code"] == "upgrade_required"


async def test_foreign_pages_are_refused(make_client: ClientFactory) -> None:
    client = await make_client(allowed_origins=("https://cv.example",))
    for origin in ("https://evil.example", "null"):
        with pytest.raises(WSServerHandshakeError) as caught:
            await client.ws_connect(WS, headers={"Origin": origin})
        assert caught.value.status == 403
    for origin in ("https://cv.example", "http://localhost:3000"):
        await (await client.ws_connect(WS, headers={"Origin": origin})).close()


async def test_every_client_sees_every_event_once_and_in_order(live_client: Client) -> None:
    sockets = [await live_client.ws_connect(WS) for _ in range(10)]
    for n in range(20):
        await send_event(live_client, f"e{n}")
    for socket in sockets:
        seen: list[str] = []
        while len(seen) < 20:
            message = await socket.receive_json(timeout=5)
            if message["type"].startswith("e"):
                seen.append(message["type"])
        assert seen == [f"e{n}" for n in range(20)]
        await socket.close()


async def test_a_client_that_does_not_read_is_closed_and_delays_nobody(
    live_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "STALLED_SECONDS", 0.2)
    monkeypatch.setattr(live, "PING_SECONDS", 600.0)  # which would find it too, later
    hub = live_client.app[keys.HUB]
    _, writer = await asyncio.open_connection(live_client.host, live_client.port, limit=1)
    writer.write(
        f"GET {WS} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    async with live_client.ws_connect(WS) as healthy:
        await until(lambda: len(hub._clients) == 2)
        received, big = 0, json.dumps({"type": "x", "data": "y" * 8000})
        for _ in range(400):
            hub.broadcast([big.encode()] * 10)
            while received < 3000:
                message = await asyncio.wait_for(healthy.receive(), 5)
                received += message.data == big
                if received % 10 == 0:
                    break
            await asyncio.sleep(0)
        await until(lambda: len(hub._clients) == 1, 15)
    writer.close()
    metrics = await (await live_client.get("/metrics")).text()
    skipped = next(
        line for line in metrics.splitlines() if line.startswith("maicivy_websocket_messages_skip")
    )
    assert float(skipped.split()[1]) > 0


async def test_beyond_two_hundred_events_a_second_the_feed_is_a_sample(
    live_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = live_client.app[keys.HUB]
    monkeypatch.setattr(hub, "_heartbeat_seconds", 0.5)
    async with live_client.ws_connect(WS) as one, live_client.ws_connect(WS) as other:
        for socket in (one, other):
            await read(socket, "heartbeat")
        hub.deliver([b'{"type": "flood", "n": %d}' % n for n in range(1000)])
        seen: list[list[int]] = []
        told = []
        for socket in (one, other):
            numbers = []
            while "skipped_events" not in (message := await socket.receive_json(timeout=10)):
                assert message["type"] in {"flood", "heartbeat", "initial_stats"}
                numbers += [message["n"]] if message["type"] == "flood" else []
            told.append(message["skipped_events"])
            seen.append(numbers)
            assert message["type"] == "heartbeat"
            assert "skipped_events" not in await read(socket, "heartbeat")
    assert seen[0] == seen[1] == list(range(800, 1000))
    assert told == [800, 800]
    metrics = await (await live_client.get("/metrics")).text()
    assert "maicivy_websocket_events_sampled_out_total 800.0" in metrics


async def test_of_a_flood_only_what_the_feed_shows_is_published(
    live_client: Client, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, sent = live_client.app[keys.HUB], 900
    monkeypatch.setattr(hub, "_heartbeat_seconds", 0.3)
    async with live_client.ws_connect(WS) as socket, redis_client.pubsub() as listener:
        await read(socket, "heartbeat")
        await listener.subscribe("analytics:realtime")
        await listener.get_message(timeout=5)  # that it did
        for _ in range(3):
            body = {"events": [{"event_type": "flood"} for _ in range(300)]}
            response = await live_client.post(f"{API}/events", json=body)
            assert response.status == 201
        shown = skipped = published = 0
        while shown + skipped < sent:
            message = await socket.receive_json(timeout=10)
            shown += message["type"] == "flood"
            skipped += message.get("skipped_events", 0)
        while await listener.get_message(timeout=0.2):
            published += 1
    assert shown + skipped == sent
    assert EVENTS_PER_SECOND <= shown <= published < sent / 2


async def test_events_that_come_together_go_out_in_one_write(
    live_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    write = live._Line.write

    def count(line: Any, frames: bytes) -> None:
        writes.append(frames.count(b"together"))
        write(line, frames)

    async with live_client.ws_connect(WS) as socket:
        await read(socket, "initial_stats")
        monkeypatch.setattr(live._Line, "write", count)
        hub = live_client.app[keys.HUB]
        for _ in range(3):
            hub.deliver([b'{"type": "together"}'] * 5)
        for _ in range(15):
            await read(socket, "together")
    assert 15 in writes


async def test_a_crowd_is_written_to_in_slices(
    live_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "SLICE_CLIENTS", 2)
    hub = live_client.app[keys.HUB]
    sockets = [await live_client.ws_connect(WS) for _ in range(5)]
    for socket in sockets:
        await read(socket, "initial_stats")
    slices: list[int] = []
    send = hub._send

    def note(clients: Any, *rest: Any) -> None:
        slices.append(len(clients))
        # what comes in between has its turn before the next slice
        asyncio.get_running_loop().call_soon(slices.append, 0)
        send(clients, *rest)

    monkeypatch.setattr(hub, "_send", note)
    hub.broadcast([b'{"type": "crowd"}'])
    for socket in sockets:
        await read(socket, "crowd")
    assert slices[:5] == [2, 0, 2, 0, 1]
    for socket in sockets:
        await socket.close()


async def test_nothing_follows_a_goodbye(live_client: Client) -> None:
    hub = live_client.app[keys.HUB]
    async with live_client.ws_connect(WS, autoclose=False) as socket:
        await read(socket, "initial_stats")
        [line] = live_client.app[keys.SOCKETS]
        closing = asyncio.create_task(line.close())
        await asyncio.sleep(0)
        hub.broadcast([b'{"type": "late"}'])
        while (message := await socket.receive(timeout=5)).type is WSMsgType.TEXT:
            assert message.json()["type"] != "late"
        assert message.type is WSMsgType.CLOSE
        await socket.close()
        await closing


async def test_stopping_says_goodbye(make_client: ClientFactory) -> None:
    client = await make_client()
    sockets = [await client.ws_connect(WS) for _ in range(5)]

    async def wait_for_close(socket: ClientWebSocketResponse) -> int | None:
        while not socket.closed:
            await socket.receive(timeout=5)
        return socket.close_code

    waiting = [asyncio.create_task(wait_for_close(socket)) for socket in sockets]
    await client.server.close()
    assert await asyncio.gather(*waiting) == [1001] * 5


async def test_a_lost_subscription_is_made_anew(live_client: Client, redis_client: Any) -> None:
    hub = live_client.app[keys.HUB]
    async with live_client.ws_connect(WS) as socket:
        await redis_client.client_kill_filter(_type="pubsub")
        await until(lambda: not hub.subscribed.is_set())
        await until(hub.subscribed.is_set)
        await send_event(live_client, "after")
        assert await read(socket, "after")
    metrics = await (await live_client.get("/metrics")).text()
    assert "maicivy_pubsub_reconnects_total 1.0" in metrics


async def test_a_half_open_subscription_is_noticed(
    live_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pubsub, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(pubsub.Subscription, "data_received", lambda *_: None)
    hub = live_client.app[keys.HUB]
    await until(lambda: not hub.subscribed.is_set())
    monkeypatch.undo()
    await until(hub.subscribed.is_set)


async def test_without_redis_events_still_reach_the_clients_here(live_client: Client) -> None:
    async with live_client.ws_connect(WS) as socket:
        live_client.app[keys.REALTIME]._breaker.failed()
        await send_event(live_client, "lonely")
        assert await read(socket, "lonely")


async def test_a_bad_handshake_gives_its_place_back(client: Client) -> None:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "7"}
    response = await client.get(WS, headers=headers)
    assert response.status == 400
    assert not client.app[keys.HUB]._clients
    assert (await client.get(f"{API}/realtime")).status == 200
