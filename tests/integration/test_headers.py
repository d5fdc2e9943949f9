"""What every answer carries, whatever became of the request."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from maicivy.config import Config
from maicivy.storage.postgres import Postgres
from maicivy.web.dashboard import POLICY
from maicivy.web.files import OWN_POLICY
from tests.conftest import API

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Client, ClientFactory

EVERYWHERE = {
    "Server": "maicivy",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "browsing-topics=()",
}
OVER_HTTPS = {
    "Strict-Transport-Security": "max-age=31536000",
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
}
NOTHING = "default-src 'none'; frame-ancestors 'none'"
SITE = Config().content_security_policy
ORIGIN = "https://cv.example"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
JSON = {"Content-Type": "application/json"}

# Method, target, headers, body, status, policy.
ANSWERS: list[tuple[str, str, dict[str, str], str, int, str | None]] = [
    ("GET", "/cv", {}, "", 200, SITE),
    ("HEAD", "/cv", {}, "", 200, SITE),
    ("GET", "/cv", {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, "", 304, SITE),
    ("GET", "/cv", {"Range": "bytes=0-3"}, "", 206, SITE),
    ("GET", "/cv", {"Range": "bytes=9999-"}, "", 416, SITE),
    ("GET", "/cv", {"DNT": "1"}, "", 200, SITE),
    ("GET", "/page.xhtml", {}, "", 200, SITE),
    ("GET", "/app.js", {}, "", 200, None),
    ("GET", "/cv.pdf", {}, "", 200, None),
    ("GET", "/docs", {}, "", 200, OWN_POLICY),
    ("GET", "/static/docs.html", {}, "", 200, OWN_POLICY),
    ("GET", "/static/docs.js", {}, "", 200, NOTHING),
    ("GET", "/static/docs.js", {"Accept-Encoding": "identity"}, "", 200, None),
    ("GET", "/dashboard", {}, "", 200, POLICY),
    ("GET", "/openapi.json", {}, "", 200, NOTHING),
    ("GET", "/metrics", {}, "", 200, NOTHING),
    ("GET", "/health", {}, "", 200, NOTHING),
    ("GET", "/health/deep", {}, "", 200, NOTHING),
    ("GET", f"{API}/realtime", {}, "", 200, NOTHING),
    ("GET", f"{API}/realtime", {"Origin": ORIGIN}, "", 200, NOTHING),
    ("GET", f"{API}/stats", {}, "", 400, NOTHING),
    ("GET", f"{API}/heatmap", {}, "", 500, NOTHING),
    ("GET", "/nothing", {}, "", 404, NOTHING),
    ("GET", "/static/nothing", {}, "", 404, NOTHING),
    ("GET", f"{API}/nothing", {}, "", 404, NOTHING),
    ("DELETE", f"{API}/realtime", {}, "", 405, NOTHING),
    ("POST", "/cv", {}, "", 404, NOTHING),
    ("GET", "/ws/analytics", {}, "", 426, NOTHING),
    ("OPTIONS", f"{API}/event", {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}, "",
     204, NOTHING),
    ("POST", f"{API}/event", JSON, '{"event_type": "x"}', 201, NOTHING),
    ("POST", f"{API}/event", JSON | {"DNT": "1"}, '{"event_type": "x"}', 202, NOTHING),
    ("POST", f"{API}/event", JSON, "{", 400, NOTHING),
    ("POST", f"{API}/event", {"Origin": "https://other.example"}, "{}", 403, NOTHING),
    ("POST", f"{API}/event", JSON, " " * 20_000, 413, NOTHING),
    ("POST", f"{API}/event", {"Content-Type": "text/html"}, "{}", 415, NOTHING),
    ("POST", f"{API}/event", {"Expect": "magic"}, "{}", 417, NOTHING),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    site.mkdir()
    for name in ("cv.html", "page.xhtml", "app.js", "cv.pdf"):
        (site / name).write_text("content")
    return site


async def ask(client: Client, method: str, target: str, **options: Any) -> aiohttp.ClientResponse:
    return await client.request(method, target, allow_redirects=False, **options)


def assert_headers(
    response: aiohttp.ClientResponse, expected: dict[str, str], policy: str | None, case: object
) -> None:
    found = {name: response.headers.getall(name, []) for name in expected}
    assert found == {name: [value] for name, value in expected.items()}, case
    policies = response.headers.getall("Content-Security-Policy", [])
    assert policies == ([policy] if policy else []), case


async def test_every_kind_of_answer_is_guarded(
    make_client: ClientFactory, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await make_client(site_dir=folder, allowed_origins=(ORIGIN,), trusted_proxies=LOOPBACK)
    scan = Postgres.scan

    async def broken(self: Postgres, name: str, *values: Any) -> Any:
        if name == "select_heatmap":
            raise ZeroDivisionError
        return await scan(self, name, *values)

    monkeypatch.setattr(Postgres, "scan", broken)
    for method, target, headers, body, status, policy in ANSWERS:
        for proto, expected in (("http", EVERYWHERE), ("https", EVERYWHERE | OVER_HTTPS)):
            sent = headers | {"X-Forwarded-Proto": proto}
            response = await ask(client, method, target, headers=sent, data=body or None)
            case = (method, target, headers, proto)
            assert response.status == status, case
            assert_headers(response, expected, policy, case)
            assert ("Strict-Transport-Security" in response.headers) == (proto == "https"), case


async def test_a_limit_an_outage_and_a_redirect_are_answers_too(
    make_client: ClientFactory,
) -> None:
    client = await make_client(event_rate_limit=1, ws_max_connections=1)
    socket = await client.ws_connect("/ws/analytics")
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    await client.post(f"{API}/event", json={"event_type": "x"})
    for method, target, headers, status in (
        ("GET", "/", {}, 302),
        ("POST", f"{API}/event", JSON, 429),
        ("GET", "/ws/analytics", upgrade, 503),
    ):
        response = await ask(client, method, target, headers=headers)
        assert response.status == status
        assert_headers(response, EVERYWHERE, NOTHING, target)
    assert {name: socket._response.headers[name] for name in EVERYWHERE} == EVERYWHERE
    await socket.close()


async def test_the_metrics_of_a_port_of_their_own_are_guarded(make_client: ClientFactory) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await make_client(metrics_port=port)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for target, status in (("/metrics", 200), ("/", 404)):
            response = await session.get(target)
            assert response.status == status
            assert_headers(response, EVERYWHERE, NOTHING, target)


async def test_the_policy_of_the_pages_is_the_operators(
    make_client: ClientFactory, folder: Path
) -> None:
    for policy in ("default-src 'self' https://fonts.example", ""):
        client = await make_client(site_dir=folder, content_security_policy=policy)
        assert_headers(await ask(client, "GET", "/cv"), EVERYWHERE, policy, policy)
        assert_headers(await ask(client, "GET", "/docs"), EVERYWHERE, OWN_POLICY, policy)
        assert_headers(await ask(client, "GET", "/nothing"), EVERYWHERE, NOTHING, policy)
