"""The seven endpoints: each example asked and answered, each parameter, each curl command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from yarl import URL

from maicivy.config import Config
from maicivy.reports.stats import conversion_rate
from tests.conftest import Client, send_event
from tests.contract.conftest import INSTANT
from tests.contract.deviations import Subject
from tests.contract.endpoints import (
    BASE,
    CURLS,
    ENDPOINTS,
    PARAMETERS,
    PUBLIC_GETS,
    read_curl,
)
from tests.contract.shapes import differences

if TYPE_CHECKING:
    from aiohttp import ClientResponse

SUBJECTS = {path: Subject(f"{one.method} {path}") for path, one in ENDPOINTS.items()}
PERIOD_KEYS = {
    "day": f"{INSTANT:%Y-%m-%d}",
    "week": f"{INSTANT:%G-W%V}",
    "month": f"{INSTANT:%Y-%m}",
}


def example_of(path: str, period: str | None) -> Any:
    """Return an example answer; where it speaks of a day and another period is meant, of that."""
    example = ENDPOINTS[path].example
    if period is None:
        return example
    named = {"period": period, "period_key": PERIOD_KEYS[period]}
    changed = {name: value for name, value in named.items() if name in example["data"]}
    return example | {"data": example["data"] | changed}


async def replay(client: Client) -> None:
    """Do what the examples tell of, so that their answers can be compared to the letter."""
    for point in ENDPOINTS["/heatmap"].example["data"]:
        clicks = 3 if point == ENDPOINTS["/heatmap"].example["data"][0] else 1
        for _ in range(clicks):
            body = ENDPOINTS["/event"].body
            place = {"x": point["x"], "y": point["y"]}
            await post(client, body | {"event_data": body["event_data"] | place})
    themes = ENDPOINTS["/themes"].example["data"]
    for views, row in enumerate(reversed(themes), start=1):
        for _ in range(views):
            await send_event(client, "cv_theme_change", event_data={"theme": row["theme"]})
    for letter_type in ("motivation", "motivation", "anti_motivation"):
        await send_event(client, "letter_generate", event_data={"letter_type": letter_type})


async def replay_timeline(client: Client) -> None:
    """Store the example's event twice."""
    [row] = ENDPOINTS["/timeline"].example["data"]
    for _ in range(2):
        await send_event(
            client,
            row["event_type"],
            event_data=json.loads(row["event_data"]),
            page_url=row["page_url"],
        )


async def post(client: Client, body: Any) -> ClientResponse:
    response = await client.post(f"{BASE}/event", json=body)
    assert response.status == 201, await response.text()
    return response


async def get(client: Client, request: str) -> Any:
    response = await client.get(URL(request, encoded=True))
    assert response.status == 200, await response.text()
    assert response.content_type == "application/json"
    return await response.json()


def test_every_endpoint_was_read() -> None:
    assert len(ENDPOINTS) == PUBLIC_GETS + 1 == 7
    assert [one.path for one in ENDPOINTS.values() if one.method == "POST"] == ["/event"]
    assert len(PARAMETERS) == 6
    assert len(CURLS) == 5


async def test_every_example_is_answered_as_written(seed_client: Client) -> None:
    await replay_timeline(seed_client)
    await check_example(seed_client, "/timeline")
    await replay(seed_client)
    for path in ENDPOINTS:
        if path not in {"/timeline", "/event"}:
            await check_example(seed_client, path)


async def check_example(client: Client, path: str) -> None:
    """Ask the heading's request and compare the answer with the example."""
    answer = await get(client, ENDPOINTS[path].requests()[0])
    SUBJECTS[path].check(differences(ENDPOINTS[path].example, answer, ""))


async def test_the_event_example_is_answered_as_written(seed_client: Client) -> None:
    endpoint = ENDPOINTS["/event"]
    answer = await (await post(seed_client, endpoint.body)).json()
    SUBJECTS["/event"].check(differences(endpoint.example, answer, ""))
    assert answer == endpoint.example
    [row] = (await get(seed_client, f"{BASE}/timeline"))["data"]
    assert row["event_type"] == endpoint.body["event_type"]
    assert json.loads(row["event_data"]) == endpoint.body["event_data"]
    assert row["page_url"] == endpoint.body["page_url"]


async def test_the_examples_values(seed_client: Client) -> None:
    await replay(seed_client)
    examples = {path: one.example.get("data") for path, one in ENDPOINTS.items()}
    points = (await get(seed_client, ENDPOINTS["/heatmap"].requests()[0]))["data"]
    assert [(p["x"], p["y"]) for p in points] == [(p["x"], p["y"]) for p in examples["/heatmap"]]
    themes = (await get(seed_client, ENDPOINTS["/themes"].requests()[0]))["data"]
    assert [row["theme"] for row in themes] == [row["theme"] for row in examples["/themes"]]
    day = (await get(seed_client, f"{BASE}/stats?period=day"))["data"]
    assert day["period_key"] == examples["/stats"]["period_key"]
    live = (await get(seed_client, f"{BASE}/realtime"))["data"]
    assert live["total_events"] == day["total_events"] == 13
    assert live["letters_today"] == day["letters_generated"] == 3
    assert live["unique_today"] == live["current_visitors"] == day["unique_visitors"] == 1


def test_the_examples_own_arithmetic() -> None:
    day, letters = ENDPOINTS["/stats"].example["data"], ENDPOINTS["/letters"].example["data"]
    assert letters["total"] == letters["motivation"] + letters["anti_motivation"]
    for total, row in ((day["letters_generated"], day), (letters["total"], letters)):
        assert conversion_rate(total, row["unique_visitors"]) == row["conversion_rate"]


async def test_each_period_of_the_headings(seed_client: Client) -> None:
    await replay(seed_client)
    for path in ("/stats", "/letters"):
        requests = ENDPOINTS[path].requests()
        assert [request.rpartition("=")[2] for request in requests] == list(PERIOD_KEYS)
        for request, (period, key) in zip(requests, PERIOD_KEYS.items(), strict=True):
            answer = await get(seed_client, request)
            SUBJECTS[path].check(differences(example_of(path, period), answer, ""))
            assert answer["data"].get("period_key", key) == key


async def test_every_parameter_keeps_its_line(seed_client: Client) -> None:
    for n in range(8):
        await send_event(seed_client, "cv_theme_change", event_data={"theme": f"theme-{n}"})
    for one in PARAMETERS:
        if one.required:
            assert one.name in await refusal(seed_client, one.path)
            assert one.values
            for value in one.values:
                await get(seed_client, f"{one.path}?{one.name}={value}")
        else:
            answer = await get(seed_client, one.path)
            if one.default is not None:
                used = answer["meta"][one.name] if "meta" in answer else len(answer["data"])
                assert used == one.default, one
        if one.default is not None or one.values:
            for value in ("", "-1", "year", "1.5"):
                assert one.name in await refusal(seed_client, f"{one.path}?{one.name}={value}")
        if one.highest is not None:
            await get(seed_client, f"{one.path}?{one.name}={one.highest}")
            over = f"{one.path}?{one.name}={one.highest + 1}"
            assert one.name in await refusal(seed_client, over)


async def refusal(client: Client, request: str) -> str:
    """Ask what has to be refused; return the sentence."""
    response = await client.get(request)
    assert response.status == 400, request
    answer = await response.json()
    assert answer["success"] is False
    return str(answer["error"])


async def test_the_page_filter_is_optional(seed_client: Client) -> None:
    for page in ("/cv", "/letters"):
        await send_event(seed_client, event_data={"x": 1, "y": 2}, page_url=page)
    for query, count in (("", 2), ("?page_url=/cv", 1)):
        [point] = (await get(seed_client, f"{BASE}/heatmap{query}"))["data"]
        assert point["count"] == count


async def test_every_curl_command_works_as_written(seed_client: Client) -> None:
    await replay(seed_client)
    for command in CURLS:
        call, _, filter_word = command.replace("\\\n", " ").partition(" | grep ")
        method, url, headers, body = read_curl(call)
        assert (url.scheme, url.host, url.port) == ("http", "localhost", Config().port)
        response = await seed_client.request(method, url.relative(), headers=headers, data=body)
        text = await response.text()
        assert response.status == (201 if method == "POST" else 200), text
        if filter_word:
            assert filter_word.strip() in text
            continue
        path, example = f"/{url.name}", example_of(f"/{url.name}", url.query.get("period"))
        SUBJECTS[path].check(differences(example, json.loads(text), ""))
        if body:
            points = (await get(seed_client, f"{BASE}/heatmap?page_url=/cv&hours=1"))["data"]
            assert points[0] == {"x": 450, "y": 200, "count": 4}
