"""Security and privacy, and what the middleware and the logs promise."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import logging
import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSServerHandshakeError

from maicivy.config import Config
from maicivy.ingest.visitor import COOKIE_NAME
from tests.conftest import API, get_data, send_event, until
from tests.contract.conftest import visit
from tests.contract.deviations import Subject
from tests.contract.document import SEED
from tests.contract.shapes import Difference, is_uuid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import redis.asyncio

    from tests.conftest import Client, Database

    MakeClient = Callable[..., Awaitable[Client]]

RGPD = SEED.section("RGPD Compliance")
LIMITS = SEED.section("Rate Limiting")
CHECKS = SEED.section("Validation")
COMPONENTS = SEED.section("Composants Principaux")
HASHED_BY = RGPD.match(r"\*\*Pas d'IP en clair\*\* : hash (\S+) via middleware tracking")[1]
EVENTS_A_MINUTE = LIMITS.number(r"Endpoint POST `/event` : \*\*(\d+) req/min\*\* par IP")
SOCKETS = {
    LIMITS.number(r"WebSocket connexions : \*\*(\d+) max simultanées\*\*"),
    SEED.section("Throughput").number(r"\*\*(\d+) WebSocket clients\*\* simultanés"),
}
CONNECTED = SEED.section("WebSocket ne se connecte pas").match(r"Vérifier logs : `(.+)`")[1]
STARTING = SEED.section("Cleanup job ne s'exécute pas").match(r"Vérifier logs : `(.+)`")[1]
CHECKED = CHECKS.match(r"Query params validés \((.+)\)")[1].split(", ")
REQUIRED = CHECKS.match(r"Body JSON validé \((\w+) required\)")[1]
DIAGRAM = SEED.section("Diagramme de Flow de Données").text()

PRIVACY = Subject("Privacy")
WS = "/ws/analytics"
ADDRESS = "203.0.113.77"
JSON = {"Content-Type": "application/json"}
FORWARDED = {"X-Forwarded-For": ADDRESS}


async def everything_stored(database: Database, client: redis.asyncio.Redis) -> str:
    """Return every row of every table, and every key with its value, as one text."""
    parts = []
    for row in await database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        rows = await database.fetch(f'SELECT t::text AS text FROM "{row["tablename"]}" AS t')
        parts += [one["text"] for one in rows]
    assert parts
    async for name in client.scan_iter(match="*"):
        kind = await client.type(name)
        parts.append(name)
        if kind == "zset":
            parts.append(str(await client.zrange(name, 0, -1)))
        elif kind == "hash":
            parts.append(str(await client.hgetall(name)))
    return "\n".join(parts)


async def test_no_address_is_kept_in_clear(
    seed_client: Client,
    database: Database,
    redis_client: redis.asyncio.Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    response = await seed_client.get("/cv", headers=FORWARDED)
    assert response.status == 200
    await send_event(seed_client, headers=FORWARDED, event_data={"note": f"from {ADDRESS}"})
    [row] = await database.fetch("SELECT DISTINCT ip_hash FROM visitors")
    stored = await everything_stored(database, redis_client)
    exposed = await (await seed_client.get("/metrics")).text()
    for text in (stored, exposed, caplog.text):
        assert ADDRESS not in text
        assert hashlib.sha256(ADDRESS.encode()).hexdigest() not in text
    key = await database.fetchval("SELECT key FROM address_keys ORDER BY day LIMIT 1")
    packed = ipaddress.ip_address(ADDRESS).packed
    keyed = hmac.digest(key, packed, "sha256").hex() == row["ip_hash"]
    true = f"HMAC-{HASHED_BY} with the key of the day" if keyed else "something else"
    PRIVACY.check([Difference("ip_hash", HASHED_BY, true)])


@RGPD.holds(r"analytics_events ne stocke jamais noms/emails")
async def test_no_names_and_no_addresses_of_mail_are_kept(
    seed_client: Client, database: Database, redis_client: redis.asyncio.Redis
) -> None:
    mail, name = "camille.moreau@mail.example", "Camille Moreau"
    await send_event(
        seed_client,
        "form_submit",
        event_data={"name": name, "email": mail, "form": {"note": f"write to {mail}"}},
        page_url=f"/letters?email={mail}&theme=backend",
        referrer=f"https://mail.example/?from={mail}",
    )
    await visit(seed_client, f"/cv?email={mail}")
    stored = await everything_stored(database, redis_client)
    for word in ("camille", "moreau"):
        assert word not in stored.lower()
    assert "theme=backend" in stored


@RGPD.holds(r"visitor_id = UUID opaque")
async def test_a_visitor_is_an_opaque_uuid(seed_client: Client, database: Database) -> None:
    await send_event(seed_client)
    [event] = await get_data(seed_client, "timeline")
    stored = await database.fetchval("SELECT visitor_id FROM analytics_events")
    assert isinstance(stored, uuid.UUID)
    assert is_uuid(event["visitor_id"])
    assert event["visitor_id"] != str(stored)


async def test_events_are_limited_for_each_address(make_seed_client: MakeClient) -> None:
    client = await make_seed_client(event_rate_limit=Config().event_rate_limit)

    async def send(address: str) -> Any:
        headers = {"X-Forwarded-For": address}
        return await client.post(f"{API}/event", json={"event_type": "x"}, headers=headers)

    assert {(await send(ADDRESS)).status for _ in range(EVENTS_A_MINUTE)} == {201}
    refused = await send(ADDRESS)
    assert refused.status == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert (await refused.json())["success"] is False
    assert (await send("203.0.113.78")).status == 201


async def test_so_many_sockets_and_no_more(
    seed_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    [limit] = SOCKETS
    assert Config().ws_max_connections == limit
    caplog.set_level(logging.INFO)
    sockets = [await seed_client.ws_connect(WS) for _ in range(limit)]
    with pytest.raises(WSServerHandshakeError) as caught:
        await seed_client.ws_connect(WS)
    assert caught.value.status == 503
    assert caught.value.headers is not None
    assert int(caught.value.headers["Retry-After"]) > 0
    await send_event(seed_client, "x")
    for socket in sockets:
        while (await socket.receive_json(timeout=5))["type"] != "x":
            pass
        await socket.close()
    assert caplog.messages.count(CONNECTED) == limit


async def test_the_cleanup_scheduler_says_that_it_starts(
    make_seed_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await make_seed_client()
    await until(lambda: STARTING in caplog.messages)


async def test_parameters_and_bodies_are_checked(seed_client: Client) -> None:
    asked = {"period": ("stats", "letters"), "limit": ("themes", "timeline"), "hours": ("heatmap",)}
    assert list(asked) == CHECKED
    for name in CHECKED:
        for question in asked[name]:
            response = await seed_client.get(f"{API}/{question}?{name}=0")
            assert response.status == 400
            assert name in (await response.json())["error"]
    for body in (b"{}", b'{"event_data": {}}', b"[]", b"{", b""):
        response = await seed_client.post(f"{API}/event", data=body, headers=JSON)
        assert response.status == 400
        answer = await response.json()
        assert answer["success"] is False
        assert (REQUIRED in answer["error"]) == (body in {b"{}", b'{"event_data": {}}'})


@CHECKS.holds(r"Visitor session vérifié \(middleware\)")
async def test_the_session_is_verified(seed_client: Client) -> None:
    await visit(seed_client, "/cv")
    [good] = [cookie for cookie in seed_client.session.cookie_jar if cookie.key == COOKIE_NAME]
    forged = ("A" if good.value[0] != "A" else "B") + good.value[1:]
    for value, replaced in ((good.value, False), (forged, True), ("x", True)):
        seed_client.session.cookie_jar.clear()
        response = await seed_client.get("/cv", headers={"Cookie": f"{COOKIE_NAME}={value}"})
        assert response.status == 200
        assert (COOKIE_NAME in response.cookies) is replaced
        if replaced:
            assert response.cookies[COOKIE_NAME].value != value


@COMPONENTS.holds(r"Auto-tracking pageviews \(non API/WS\)")
@COMPONENTS.holds("Collecte événements → PostgreSQL")
async def test_pages_are_tracked_and_nothing_else(seed_client: Client, database: Database) -> None:
    for path in (f"{API}/realtime", "/metrics", "/health", WS, "/nowhere"):
        await seed_client.get(path)
    await visit(seed_client, "/cv")
    rows = await database.fetch("SELECT event_type, event_data, page_url FROM analytics_events")
    assert [(row["event_type"], row["page_url"]) for row in rows] == [("page_view", "/cv")]
    assert json.loads(rows[0]["event_data"]) == {"path": "/cv"}


@COMPONENTS.holds("Marque visiteurs actifs")
async def test_who_looks_at_a_page_is_active(seed_client: Client) -> None:
    assert (await get_data(seed_client, "realtime"))["current_visitors"] == 0
    await visit(seed_client, "/cv")
    assert (await get_data(seed_client, "realtime"))["current_visitors"] == 1


async def test_the_diagrams_addresses_are_there(seed_client: Client) -> None:
    paths = re.findall(r"(?<= )/[a-z]+(?:/[a-z]+)*", DIAGRAM)
    assert paths == ["/ws/analytics", "/metrics"]
    for path in paths:
        assert (await seed_client.get(path)).status in {200, 426}
    assert re.findall(r"• (\d+)d\b", DIAGRAM) == [str(Config().retention_days)]
