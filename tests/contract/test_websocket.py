"""The live feed: every message of the document, sent or received as it is written there."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from yarl import URL

from maicivy.config import Config
from tests.contract.conftest import INSTANT, REALTIME_EVENT, visit
from tests.contract.deviations import Subject
from tests.contract.document import SEED
from tests.contract.shapes import differences, is_uuid

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

    from tests.conftest import Client

CHAPTER = "WebSocket Protocol"
COMPONENTS = SEED.section("Composants Principaux")
ENDPOINT = URL(SEED.section(CHAPTER, "Endpoint").text())
[INITIAL_STATS] = SEED.section("1. Initial Stats (à la connexion)").json()
_HEARTBEAT = SEED.section("2. Heartbeat (toutes les 5 secondes)")
[HEARTBEAT] = _HEARTBEAT.json()
HEARTBEAT_SECONDS = COMPONENTS.number(r"Heartbeat toutes les (\d+) secondes")
[REFRESH_STATS] = SEED.section("1. Refresh Stats").json()
PING, PONG = SEED.section("2. Ping").json()
JAVASCRIPT = SEED.section("WebSocket - Connexion (JavaScript)").text("javascript")
WSCAT = SEED.section("Tester WebSocket (wscat)").text("bash")
TROUBLESHOOTING = SEED.section("WebSocket ne se connecte pas")
ADVISED = TROUBLESHOOTING.match(r"`wscat -c (\S+)`")[1]

MESSAGES = Subject("WebSocket messages")
WS = ENDPOINT.path


async def read(socket: ClientWebSocketResponse, kind: str) -> Any:
    """Return the next message of that type."""
    while True:
        message = await socket.receive_json(timeout=10)
        if message["type"] == kind:
            return message


def test_one_address_is_named_everywhere() -> None:
    assert (ENDPOINT.scheme, ENDPOINT.host, ENDPOINT.port) == ("ws", "localhost", Config().port)
    [opened] = re.findall(r"new WebSocket\('(.+)'\)", JAVASCRIPT)
    typed = re.search(r"wscat -c (\S+)", WSCAT)
    assert typed
    assert {opened, typed[1], ADVISED} == {str(ENDPOINT)}


async def test_the_numbers_come_first_and_whenever_they_are_asked_for(seed_client: Client) -> None:
    async with seed_client.ws_connect(WS) as socket:
        first = await socket.receive_json(timeout=5)
        MESSAGES.check(differences(INITIAL_STATS, first, ""))
        assert first["data"]["timestamp"] == int(INSTANT.timestamp())
        await visit(seed_client, "/cv")
        await socket.send_json(REFRESH_STATS)
        again = await read(socket, INITIAL_STATS["type"])
        MESSAGES.check(differences(INITIAL_STATS, again, ""))
        assert (first["data"]["total_events"], again["data"]["total_events"]) == (0, 1)


async def test_a_ping_is_answered(seed_client: Client) -> None:
    async with seed_client.ws_connect(WS) as socket:
        await socket.send_json(PING)
        MESSAGES.check(differences(PONG, await read(socket, PONG["type"]), ""))


@COMPONENTS.holds("Support multi-clients")
async def test_the_heartbeat_reaches_everybody_at_its_pace(seed_client: Client) -> None:
    assert f"{HEARTBEAT_SECONDS} secondes" in _HEARTBEAT.title
    loop = asyncio.get_running_loop()
    async with seed_client.ws_connect(WS) as one, seed_client.ws_connect(WS) as other:
        first = await read(one, HEARTBEAT["type"])
        MESSAGES.check(differences(HEARTBEAT, first, ""))
        assert await read(other, HEARTBEAT["type"]) == first
        started = loop.time()
        await read(one, HEARTBEAT["type"])
        assert abs(loop.time() - started - HEARTBEAT_SECONDS) < 1
    example = HEARTBEAT["data"]["timestamp"] - INITIAL_STATS["data"]["timestamp"]
    assert example == HEARTBEAT_SECONDS


@COMPONENTS.holds("WebSocket pour broadcast temps réel")
@COMPONENTS.holds("Publication temps réel → Redis Pub/Sub")
async def test_a_page_view_is_told_to_everybody_in_the_documents_words(seed_client: Client) -> None:
    async with seed_client.ws_connect(WS) as one, seed_client.ws_connect(WS) as other:
        await visit(seed_client, REALTIME_EVENT["page_url"])
        message = await read(one, REALTIME_EVENT["type"])
        assert await read(other, REALTIME_EVENT["type"]) == message
    MESSAGES.check(differences(REALTIME_EVENT, message, ""))
    assert is_uuid(message["visitor_id"])
    assert message == REALTIME_EVENT | {"visitor_id": message["visitor_id"]}


async def test_the_javascript_client_is_understood(seed_client: Client) -> None:
    [sent] = re.findall(r"ws\.send\(JSON\.stringify\(\{ type: '(\w+)' \}\)\)", JAVASCRIPT)
    [expected] = re.findall(r"data\.type === '(\w+)'", JAVASCRIPT)
    [used] = set(re.findall(r"updateDashboard\(data\.(\w+)\)", JAVASCRIPT))
    assert {"type": sent} == REFRESH_STATS
    assert expected == HEARTBEAT["type"]
    assert used in HEARTBEAT
    async with seed_client.ws_connect(WS) as socket:
        assert (await socket.receive_json(timeout=5))["type"] == INITIAL_STATS["type"]
        await socket.send_json({"type": sent})
        assert (await socket.receive_json(timeout=5))["type"] in {INITIAL_STATS["type"], expected}


@TROUBLESHOOTING.holds(r"WebSocket = upgrade HTTP")
async def test_it_is_reached_by_an_http_upgrade(seed_client: Client) -> None:
    response = await seed_client.get(WS)
    assert response.status == 426
    assert response.headers["Upgrade"] == "websocket"
