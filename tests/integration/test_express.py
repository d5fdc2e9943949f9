"""The short way of `POST /event` gives the same answers as the long one."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.web import express
from tests.conftest import API, Client, ClientFactory, Database

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

ORIGIN = "https://example.org"
# Unusual, and without any meaning from whoever is no trusted proxy.
LONG_WAY = {"X-Forwarded-Proto": "http"}
# What differs from one answer to the next.
CHANGING = {"Date", "RateLimit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After"}
NAMED = str(uuid.uuid4())
BODY = {"event_type": "x", "page_url": "/cv"}

REQUESTS: dict[str, tuple[Any, Mapping[str, str]]] = {
    "plain": (BODY, {}),
    "a page of the site": (BODY, {"Sec-Fetch-Site": "same-origin"}),
    "a page of another site": (BODY, {"Sec-Fetch-Site": "cross-site"}),
    "an allowed origin": (BODY, {"Origin": ORIGIN}),
    "an allowed origin, wrong": ({"event_type": 7}, {"Origin": ORIGIN}),
    "a strange origin": (BODY, {"Origin": "https://evil.example"}),
    "opted out": (BODY, {"DNT": "1", "Origin": ORIGIN}),
    "a bot": (BODY, {"User-Agent": "Googlebot/2.1"}),
    "repeated": (BODY | {"event_id": NAMED}, {}),
    "no event": ([], {}),
    "a strange host": (BODY, {"Host": "a b"}),
    "a strange type": (BODY, {"Content-Type": "text/html"}),
}
# Heads that answered with a plain success are remembered.
WAYS = {
    "plain": ["first", "again"],
    "a page of the site": ["first", "again"],
    "a page of another site": ["first", "again"],
    "an allowed origin": ["first", "again"],
    "repeated": ["again", "again"],
}


def noted(answer: Callable[..., Awaitable[Any]], name: str, ways: list[str]) -> Any:
    async def answer_and_note(*arguments: Any) -> Any:
        ways.append(name)
        return await answer(*arguments)

    return answer_and_note


@pytest.fixture
async def client(make_client: ClientFactory) -> Client:
    return await make_client(allowed_origins=(ORIGIN,))


async def ask(client: Client, body: Any, headers: Mapping[str, str]) -> tuple[int, Any, Any]:
    """Return status, lasting headers and body of an answer."""
    sent = {"Content-Type": "application/json", **headers}
    client.session.cookie_jar.clear()
    response = await client.post(f"{API}/event", data=json.dumps(body).encode(), headers=sent)
    lasting = sorted((k, v) for k, v in response.headers.items() if k not in CHANGING)
    told = [(k, v.partition("=")[0] if k == "Set-Cookie" else v) for k, v in lasting]
    return response.status, told, await response.json()


@pytest.mark.parametrize("name", REQUESTS)
async def test_both_ways_give_the_same_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    body, headers = REQUESTS[name]
    ways: list[str] = []
    monkeypatch.setattr(express.Express, "_first", noted(express.Express._first, "first", ways))
    monkeypatch.setattr(express.Express, "_again", noted(express.Express._again, "again", ways))
    if name == "repeated":
        await ask(client, body, headers)
        ways.clear()
    short = await ask(client, body, headers)
    again = await ask(client, body, headers)
    assert short == again == await ask(client, body, {**headers, **LONG_WAY})
    assert ways == WAYS.get(name, ["first", "first"])


async def test_limits_are_told_on_both_ways(make_client: ClientFactory) -> None:
    client = await make_client(event_rate_limit=3)
    for left, way in ((2, {}), (1, LONG_WAY), (0, {})):
        response = await client.post(f"{API}/event", json=BODY, headers=way)
        assert response.status == 201
        assert response.headers["X-RateLimit-Remaining"] == str(left)
        assert "Date" in response.headers
    for way in ({}, LONG_WAY):
        response = await client.post(f"{API}/event", json=BODY, headers=way)
        assert (response.status, response.headers["X-RateLimit-Remaining"]) == (429, "0")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_who_does_not_keep_the_connection_is_answered_too(
    client: Client, database: Database, version: str
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    body = json.dumps(BODY).encode()
    head = f"POST {API}/event HTTP/{version}\r\nHost: x\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    answer = await reader.read()
    assert answer.startswith(f"HTTP/{version} 201".encode())
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 1
    writer.close()
