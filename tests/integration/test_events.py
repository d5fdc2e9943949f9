"""`POST /events`: several events in one request, each answered for itself, durable as one."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.errors import StorageUnavailable
from maicivy.storage.postgres import Postgres
from maicivy.web import keys
from tests.conftest import API, Client, ClientFactory, Database

if TYPE_CHECKING:
    from collections.abc import Sequence

JSON = {"Content-Type": "application/json"}
VIEW = {"event_type": "page_view", "page_url": "/cv"}


async def send(client: Client, events: Any, **headers: str) -> tuple[int, Any]:
    body = json.dumps({"events": events}).encode()
    names = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    response = await client.post(f"{API}/events", data=body, headers=names)
    return response.status, await response.json()


def outcomes(answer: Any) -> list[tuple[int, str]]:
    assert [item["index"] for item in answer["data"]] == list(range(len(answer["data"])))
    return [(item["status"], item["code"]) for item in answer["data"]]


async def test_each_event_is_answered_for_itself(client: Client, database: Database) -> None:
    name = str(uuid.uuid4())
    events = [
        VIEW,
        {"event_type": "9"},
        {"event_type": "x", "event_id": name},
        {"event_type": "y", "event_id": name},
        7,
        {"page_url": "/cv"},
        {"event_type": "letter_generate"},
        {"event_type": "letter_generate", "event_data": {"letter_type": "motivation"}},
    ]
    status, answer = await send(client, events)
    assert (status, answer["success"]) == (201, True)
    assert answer["message"] == "4 of 8 events tracked"
    assert outcomes(answer) == [
        (201, "tracked"),
        (400, "invalid_field"),
        (201, "tracked"),
        (201, "replayed"),
        (400, "invalid_body"),
        (400, "missing_field"),
        (400, "invalid_field"),
        (201, "tracked"),
    ]
    assert "event_type" in answer["data"][1]["error"]
    rows = await database.fetch(
        "SELECT event_type, created_at, id FROM analytics_events ORDER BY created_at, id"
    )
    assert [row["event_type"] for row in rows] == ["page_view", "x", "letter_generate"]
    assert len({row["created_at"] for row in rows}) == 1
    summary = client.app[keys.LEDGER].summary()
    assert (summary["received"], summary["stored"], summary["invalid"]) == (8, 3, 4)
    assert (summary["duplicate"], summary["pending"]) == (1, 0)


async def test_a_get_right_after_it_sees_all(client: Client) -> None:
    for total in (250, 500, 750):
        assert (await send(client, [VIEW] * 250))[0] == 201
        seen = await (await client.get(f"{API}/realtime")).json()
        assert seen["data"]["total_events"] == total


async def test_none_is_valid(client: Client, database: Database) -> None:
    status, answer = await send(client, [{"event_type": "9"}, {}])
    assert (status, answer["message"]) == (200, "0 of 2 events tracked")
    assert outcomes(answer) == [(400, "invalid_field"), (400, "missing_field")]
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"[]", "invalid_body"),
        (b"{}", "invalid_field"),
        (b'{"events": {}}', "invalid_field"),
        (b'{"events": []}', "invalid_field"),
        (b'{"events": [' + b"{}," * 500 + b"{}]}", "invalid_field"),
        (b'{"events": [{"event_type": "x", "event_type": "y"}]}', "invalid_json"),
        (b'{"events": [{"event_type": "x", "event_data": {"a": NaN}}]}', "invalid_json"),
    ],
)
async def test_a_request_that_is_wrong_as_a_whole(
    client: Client, database: Database, body: bytes, code: str
) -> None:
    response = await client.post(f"{API}/events", data=body, headers=JSON)
    assert (response.status, (await response.json())["code"]) == (400, code)
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 0
    summary = client.app[keys.LEDGER].summary()
    assert (summary["received"], summary["invalid"], summary["pending"]) == (1, 1, 0)


async def test_64_kib_at_most_and_16_for_each(client: Client) -> None:
    long = {"event_type": "x", "event_data": {"text": "a" * 16_200}}
    longer = {"event_type": "x", "event_data": {"text": "a" * 17_000}}
    status, answer = await send(client, [long, longer, VIEW])
    assert status == 201
    assert outcomes(answer) == [(201, "tracked"), (413, "body_too_large"), (201, "tracked")]
    status, answer = await send(client, [long] * 5)
    assert (status, answer["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("events", "places"), [(1, 1), (10, 1), (11, 2), (95, 10), (100, 10), (500, 50)]
)
async def test_ten_events_weigh_one_request(
    make_client: ClientFactory, events: int, places: int
) -> None:
    client = await make_client(event_rate_limit=100)
    response = await client.post(f"{API}/events", json={"events": [VIEW] * events})
    assert response.status == 201
    assert response.headers["X-RateLimit-Remaining"] == str(100 - places)


async def test_what_does_not_fit_into_the_limit_is_not_stored(
    make_client: ClientFactory, database: Database
) -> None:
    client = await make_client(event_rate_limit=12)
    assert (await send(client, [VIEW] * 100))[0] == 201
    status, answer = await send(client, [VIEW] * 30)
    assert (status, answer["code"]) == (429, "rate_limited")
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 100
    status, answer = await send(client, [VIEW] * 500)
    assert "never" in answer["error"]
    summary = client.app[keys.LEDGER].summary()
    assert (summary["stored"], summary["pending"]) == (100, 0)
    assert summary["rate_limited"] == 530


@pytest.mark.parametrize(
    ("headers", "reason"),
    [({"DNT": "1"}, "opt_out"), ({"User-Agent": "Googlebot/2.1"}, "bot")],
)
async def test_who_is_not_tracked(
    client: Client, database: Database, headers: dict[str, str], reason: str
) -> None:
    response = await client.post(f"{API}/events", json={"events": [VIEW, VIEW]}, headers=headers)
    assert (response.status, (await response.json())["reason"]) == (202, reason)
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 0
    assert client.app[keys.LEDGER].summary()["pending"] == 0


async def test_all_are_committed_in_one_statement(
    make_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, sizes = await make_client(batch_size=100), list[int]()
    write = Postgres.write

    async def count(self: Postgres, name: str, *arguments: Any) -> Any:
        if name == "insert_batch":
            sizes.append(arguments[0].count("\x1f") + 1)
        return await write(self, name, *arguments)

    monkeypatch.setattr(Postgres, "write", count)
    groups = (250, 99, 130, 1, 20)
    answers = await asyncio.gather(*(send(client, [VIEW] * size) for size in groups))
    assert [status for status, _ in answers] == [201] * len(groups)
    assert _splits_nothing(sizes, groups)


def _splits_nothing(sizes: Sequence[int], groups: Sequence[int]) -> bool:
    """Say whether every statement held whole groups, in whatever order they came."""
    left = sorted(groups)
    for size in sizes:
        if not _take(left, size):
            return False
    return not left


def _take(left: list[int], size: int) -> bool:
    """Remove groups of `size` in all from `left`."""
    if size in left:
        left.remove(size)
        return True
    for first in list(left):
        if first < size:
            left.remove(first)
            if _take(left, size - first):
                return True
            left.append(first)
    return False


async def test_a_dead_database_refuses_them_together(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> Any:
        raise StorageUnavailable("gone")

    monkeypatch.setattr(Postgres, "write", fail)
    status, answer = await send(client, [VIEW] * 20)
    assert (status, answer["code"]) == (503, "in_doubt")
    status, answer = await send(client, [VIEW] * 20)
    assert (status, answer["code"]) == (503, "database_unavailable")
    monkeypatch.undo()


async def test_too_many_for_the_queue(make_client: ClientFactory, database: Database) -> None:
    client = await make_client(queue_size=100)
    status, answer = await send(client, [VIEW] * 101)
    assert (status, answer["code"]) == (503, "queue_full")
    assert (await send(client, [VIEW] * 100))[0] == 201
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 100
    assert client.app[keys.LEDGER].summary()["refused_by_reason"]["queue_full"] == 101
