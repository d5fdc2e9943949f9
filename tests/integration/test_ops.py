"""Health, metrics, and what a failing part looks like from outside."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import aiohttp

from maicivy.errors import StorageUnavailable
from maicivy.storage.postgres import Postgres
from maicivy.web import keys
from tests.conftest import API, Client, ClientFactory, send_event

if TYPE_CHECKING:
    import pytest


async def test_health(client: Client) -> None:
    response = await client.get("/health")
    assert await response.json() == {"status": "ok", "services": {"api": "up"}}
    response = await client.get("/health/deep")
    assert (response.status, await response.json()) == (
        200,
        {"status": "ok", "services": {"api": "up", "postgres": "up", "redis": "up"}},
    )


async def test_health_without_redis(make_client: ClientFactory) -> None:
    client = await make_client(redis="unix:///nowhere/redis.sock", trusted=False)
    response = await client.get("/health/deep")
    body = await response.json()
    assert (response.status, body["status"]) == (503, "degraded")
    assert body["services"] == {"api": "up", "postgres": "up", "redis": "down"}
    await send_event(client)
    answer = await (await client.get(f"{API}/realtime")).json()
    assert answer["data"]["total_events"] == answer["data"]["unique_today"] == 1
    metrics = await (await client.get("/metrics")).text()
    assert "maicivy_redis_up 0.0" in metrics


async def test_health_without_postgres(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*_: Any) -> Any:
        raise StorageUnavailable("gone")

    for question in ("fetch", "scan", "write"):
        monkeypatch.setattr(Postgres, question, gone)
    response = await client.get("/health/deep")
    assert (response.status, (await response.json())["services"]["postgres"]) == (503, "down")
    for path in ("timeline", "heatmap", "letters?period=day"):
        response = await client.get(f"{API}/{path}")
        answer = await response.json()
        assert (response.status, answer["code"]) == (503, "unavailable")
        assert int(response.headers["Retry-After"]) > 0
    for code in ("in_doubt", "database_unavailable"):  # it was sent; by then it is known to be gone
        response = await client.post(f"{API}/event", json={"event_type": "x"})
        assert (response.status, (await response.json())["code"]) == (503, code)
        assert int(response.headers["Retry-After"]) > 0


async def test_health_with_a_failing_task(client: Client) -> None:
    async def fail() -> None:
        raise RuntimeError

    client.app[keys.SUPERVISOR].start("shaky", fail)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    body = await (await client.get("/health/deep")).json()
    assert (body["status"], body["services"]["background"]) == ("degraded", "down")


async def test_a_fault_of_ours_is_a_500_that_tells_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError("canary")

    monkeypatch.setattr(Postgres, "fetch", broken)
    response = await client.get(f"{API}/timeline")
    answer = await response.json()
    assert (response.status, answer["code"]) == (500, "internal_error")
    assert "canary" not in str(answer)
    assert "request failed" in caplog.text


async def test_an_expectation_that_cannot_be_met_is_not_repeated(client: Client) -> None:
    for path in (f"{API}/realtime", "/nothing"):
        response = await client.get(path, headers={"Expect": "canary"})
        answer = await response.json()
        assert (response.status, answer["success"]) == (417, False)
        assert answer["code"] == "expectation_failed"
        assert "canary" not in answer["error"]


async def test_requests_are_timed_by_route_method_and_status(client: Client) -> None:
    await client.get(f"{API}/realtime")
    await client.get(f"{API}/stats")
    await client.get(f"{API}/x/y/z")
    await client.request("PROPFIND", f"{API}/realtime")
    body = await (await client.get("/metrics")).text()
    name = "maicivy_analytics_request_duration_seconds_count"
    for labels in (
        f'endpoint="{API}/realtime",method="GET",status="200"',
        f'endpoint="{API}/stats",method="GET",status="400"',
        'endpoint="unmatched",method="GET",status="404"',
        'endpoint="unmatched",method="other",status="405"',
    ):
        assert f"{name}{{{labels}}} 1.0" in body


async def test_metrics_on_a_port_of_their_own(make_client: ClientFactory) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = await make_client(metrics_port=port)
    assert (await client.get("/metrics")).status == 404
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as response,
    ):
        assert response.status == 200
        assert "maicivy_build_info" in await response.text()


async def test_the_root_leads_to_the_dashboard(client: Client) -> None:
    response = await client.get("/", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (302, "/dashboard")
