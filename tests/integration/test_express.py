"""The short way of `POST /event` gives the same answers as the long one."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.ingest.visitor import COOKIE_LENGTH
from maicivy.web import express
from tests.conftest import API, Client, ClientFactory, Database, FakeClock, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

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
BODIES = (
    b"",
    b"{",
    b"\xff",
    b'{"event_type": 7}',
    b'{"event_type": "x", "event_type": "y"}',
    b'{"event_type": "x", "event_data": {"n": 1e400}}',
    b'{"event_type": "' + b"x" * 17_000 + b'"}',
    json.dumps(BODY | {"event_id": "0190a6f2-7b1c-7def-8a6b-0123456789ab"}).encode(),
)
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
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    client.session.cookie_jar.clear()
    response = await client.post(f"{API}/event", data=data, headers=sent)
    lasting = sorted((k, v) for k, v in response.headers.items() if k not in CHANGING)
    told = [(k, v.partition("=")[0] if k == "Set-Cookie" else v) for k, v in lasting]
    return response.status, told, await response.json()


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which part of the short way each request took."""
    taken: list[str] = []
    for name in ("_first", "_again"):
        way = noted(getattr(express.Express, name), name[1:], taken)
        monkeypatch.setattr(express.Express, name, way)
    return taken


@pytest.mark.parametrize("name", REQUESTS)
async def test_all_ways_give_the_same_answer(client: Client, ways: list[str], name: str) -> None:
    body, headers = REQUESTS[name]
    if name == "repeated":
        await ask(client, body, headers)
        ways.clear()
    short = await ask(client, body, headers)
    again = await ask(client, body, headers)
    assert short == again == await ask(client, body, {**headers, **LONG_WAY})
    assert ways == WAYS.get(name, ["first", "first"])


@pytest.mark.parametrize("origin", [{}, {"Origin": ORIGIN}])
@pytest.mark.parametrize("body", BODIES)
async def test_a_known_head_is_answered_like_any_other(
    client: Client, ways: list[str], body: bytes, origin: Mapping[str, str]
) -> None:
    await ask(client, BODY, origin)
    if b"event_id" in body:
        await ask(client, body, LONG_WAY)
    known = await ask(client, body, origin)
    assert ways == ["first", "again"]
    assert known == await ask(client, body, {**origin, **LONG_WAY})
    assert len(ways) == 2


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


EVENT = json.dumps(BODY).encode()
HEAD = f"POST {API}/event HTTP/1.1\r\nHost: x\r\nContent-Length: {len(EVENT)}\r\n".encode()
REQUEST = HEAD + b"\r\n" + EVENT
COUNT = "SELECT count(*) FROM analytics_events"


class Line:
    """A connection on which requests are written as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, client: Client) -> Line:
        return cls(*await asyncio.open_connection("127.0.0.1", client.port))

    async def send(self, *pieces: bytes) -> None:
        """Write each piece by itself."""
        for piece in pieces:
            self._writer.write(piece)
            await asyncio.sleep(0.05)

    async def status(self) -> int:
        """Read one answer."""
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 10)
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        await self._reader.readexactly(length)
        return int(head.split()[1])

    async def is_silent(self) -> bool:
        """Say whether nothing more comes."""
        try:
            return not await asyncio.wait_for(self._reader.read(1), 0.2)
        except TimeoutError:
            return True

    def close(self) -> None:
        self._writer.transport.abort()


@pytest.fixture
async def line(client: Client, ways: list[str]) -> AsyncIterator[Line]:
    """A connection whose head is known."""
    line = await Line.open(client)
    await line.send(REQUEST)
    assert await line.status() == 201
    yield line
    line.close()


async def test_one_after_the_other(line: Line, ways: list[str], database: Database) -> None:
    for _ in range(3):
        await line.send(REQUEST)
        assert await line.status() == 201
    assert ways == ["first", "again", "again", "again"]
    assert await database.fetchval(COUNT) == 4


async def test_several_at_once_are_answered_in_order(line: Line, database: Database) -> None:
    wrong = HEAD + b"\r\n" + b"x" * len(EVENT)
    line._writer.write(REQUEST)
    await line.send(wrong + REQUEST, wrong, REQUEST + wrong)
    answers = [await line.status() for _ in range(6)]
    assert answers == [201, 400, 201, 400, 201, 400]
    assert await database.fetchval(COUNT) == 4


@pytest.mark.parametrize("length", [b"Content-Length: %d", b"content-length:  %d"])
async def test_in_pieces(line: Line, ways: list[str], database: Database, length: bytes) -> None:
    head = b"POST /api/v1/analytics/event HTTP/1.1\r\nHost: x\r\n" + length % len(EVENT)
    await line.send(head, b"\r\n\r\n" + EVENT[:5], EVENT[5:])
    assert await line.status() == 201
    # the parser may hold a piece of what is next from now on, so it is asked each time
    await line.send(REQUEST)
    assert await line.status() == 201
    assert "again" not in ways
    assert await database.fetchval(COUNT) == 3


@pytest.mark.parametrize("body", [REQUEST, REQUEST[:-9], REQUEST + REQUEST])
@pytest.mark.parametrize(
    "head",
    [
        b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
        b"POST /api/v1/analytics/event HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
    ],
)
async def test_what_is_a_body_is_no_request(
    line: Line, database: Database, head: bytes, body: bytes
) -> None:
    """Behind a proxy, clients share connections: none may put a request into another's mouth."""
    await line.send(head % len(body), body)
    assert await line.status() in {400, 404}
    assert await line.is_silent()
    assert await database.fetchval(COUNT) == 1
    await line.send(REQUEST)
    assert await line.status() == 201


async def test_what_is_a_header_is_no_request(line: Line, database: Database) -> None:
    await line.send(b"POST /nothing HTTP/1.1\r\nX-Header: ", REQUEST)
    assert await line.status() == 404
    assert await line.is_silent()
    assert await database.fetchval(COUNT) == 1


@pytest.mark.parametrize("length", ["+%d", "0x%x", "%d, 1", "%d\r\nContent-Length: 1", "9" * 5000])
async def test_a_length_has_to_be_one(line: Line, database: Database, length: str) -> None:
    told = length % len(EVENT) if "%" in length else length
    head = HEAD.replace(f": {len(EVENT)}".encode(), f": {told}".encode())
    await line.send(head + b"\r\n" + EVENT)
    assert await line.status() == 400
    assert await database.fetchval(COUNT) == 1


async def test_who_leaves_at_once_has_sent_an_event(
    line: Line, client: Client, database: Database
) -> None:
    line._writer.write(REQUEST)
    line._writer.close()
    other = await Line.open(client)
    other._writer.write(REQUEST.replace(b"Host: x", b"Host: y"))
    other._writer.close()
    await until(lambda: _count_is(database, 3))
    assert await database.fetchval(COUNT) == 3


async def _count_is(database: Database, count: int) -> bool:
    return bool(await database.fetchval(COUNT) == count)


async def test_other_requests_on_the_same_connection(line: Line, ways: list[str]) -> None:
    await line.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await line.status() == 200
    await line.send(REQUEST)
    assert await line.status() == 201
    assert ways == ["first", "again"]


async def test_a_request_under_way_is_answered_at_the_end(
    line: Line, client: Client, database: Database
) -> None:
    async with database.transaction():
        await database.execute("LOCK TABLE rollup_events IN ACCESS EXCLUSIVE MODE")
        await line.send(REQUEST)
        ending = asyncio.create_task(client.server.close())
        await asyncio.sleep(0.2)
        assert not ending.done()
    assert await line.status() == 201
    await ending
    assert await line.is_silent()


async def test_heads_are_remembered_for_a_day(
    make_client: ClientFactory, ways: list[str], clock: FakeClock
) -> None:
    client = await make_client()
    for _ in range(2):
        await ask(client, BODY, {})
    clock.advance(days=1)
    for _ in range(2):
        await ask(client, BODY, {})
    assert ways == ["first", "again", "first", "again"]


async def test_few_heads_are_remembered_and_no_forged_ones(
    make_client: ClientFactory, ways: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(express, "MAX_HEADS", 3)
    client = await make_client()
    for headers in (
        {"Cookie": f"maicivy_session={'A' * COOKIE_LENGTH}"},
        *({"User-Agent": f"{number}"} for number in range(4)),
    ):
        await ask(client, BODY, headers)
        await ask(client, BODY, headers)
    assert ways == ["first"] * 2 + ["first", "again"] * 4
    await ask(client, BODY, {"User-Agent": "0"})
    assert ways[-1] == "first"
