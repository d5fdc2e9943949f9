"""Everything that comes in is accounted for: in the answer, in the ledger and in the metrics."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.errors import StorageUnavailable
from maicivy.web import keys
from tests.conftest import API, Client, ClientFactory, get_data, until

if TYPE_CHECKING:
    from pathlib import Path

CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def outcomes(ledger: dict[str, Any]) -> dict[str, int]:
    """Return what became of the events, by name; what there was none of is left out."""
    parts = set(ledger) - {"since", "received", "refused_by_reason"}
    return {name: ledger[name] for name in sorted(parts) if ledger[name]}


async def post(client: Client, body: Any = None, **headers: str) -> int:
    body = {"event_type": "x"} if body is None else body
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return (await client.post(f"{API}/event", json=body, headers=names)).status


async def test_received_is_the_sum_of_what_became_of_it(
    make_client: ClientFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index.html").write_text("<title>Home</title>")
    client = await make_client(site_dir=tmp_path, event_rate_limit=8)
    named = {"event_type": "x", "event_id": str(uuid.uuid4())}
    assert [await post(client), await post(client, named), await post(client, named)] == [201] * 3
    assert await post(client, DNT="1") == 202
    assert await post(client, User_Agent=CRAWLER) == 202
    assert await post(client, {"event_type": 5}) == 400
    assert await post(client, [], Origin="https://elsewhere.example") == 403
    assert await post(client, {"event_type": "x", "event_id": "7"}) == 400
    assert (await client.get("/")).status == 200
    assert (await client.get("/", headers={"User-Agent": CRAWLER})).status == 200
    postgres, writer = client.app[keys.POSTGRES], client.app[keys.WRITER]
    write = postgres.write

    async def gone(_: str, *__: Any) -> Any:
        raise StorageUnavailable("gone")

    await writer._idle.wait()
    monkeypatch.setattr(postgres, "write", gone)
    assert [await post(client) for _ in range(2)] == [503, 503]
    ledger = await get_data(client, "ledger")
    assert (ledger["pending"], ledger["refused"]) == (1, 1)  # one is in doubt
    monkeypatch.setattr(postgres, "write", write)
    assert [await post(client) for _ in range(2)] == [429, 429]
    await until(lambda: writer.available)
    ledger = await get_data(client, "ledger")
    assert outcomes(ledger) == {
        "bot": 2,
        "duplicate": 1,
        "invalid": 3,
        "opted_out": 1,
        "rate_limited": 2,
        "refused": 2,
        "stored": 3,
    }
    assert ledger["received"] == sum(outcomes(ledger).values()) == 14
    assert ledger["refused_by_reason"]["database_unavailable"] == 2


async def test_the_metrics_say_the_same(client: Client) -> None:
    bodies: list[Any] = [{"event_type": "x"}, {"event_type": "y"}, {}, []]
    for body in bodies:
        await post(client, body)
    await post(client, DNT="1")
    registry = client.app[keys.METRICS].registry
    ledger = await get_data(client, "ledger")
    sums: dict[str, float] = {}
    for family in registry.collect():
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
    assert sums["maicivy_events_received_total"] == ledger["received"] == 5
    assert sums["maicivy_events_total"] == ledger["stored"] == 2
    assert sums["maicivy_events_dropped_total"] == 3


async def test_sent_twice_is_answered_twice_and_stored_once(client: Client) -> None:
    name = str(uuid.uuid4())
    answers = [
        await client.post(f"{API}/event", json={"event_type": "x", "event_id": spelling})
        for spelling in (name.upper(), name)
    ]
    assert [answer.status for answer in answers] == [201, 201]
    assert await answers[0].json() == await answers[1].json()
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None, "true"]
    assert (await get_data(client, "realtime"))["total_events"] == 1
    assert len(await get_data(client, "timeline")) == 1


@pytest.mark.parametrize("wrong", [5, "", "x", "0190a6f2", True, [], {}, "{" + "0" * 36 + "}"])
async def test_an_event_id_is_a_uuid(client: Client, wrong: Any) -> None:
    response = await client.post(f"{API}/event", json={"event_type": "x", "event_id": wrong})
    answer = await response.json()
    assert (response.status, answer["code"]) == (400, "invalid_field")
    assert "event_id" in answer["error"]
