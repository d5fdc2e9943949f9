"""The description of the API: complete, true, and held against the running program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.config import Config
from maicivy.web.openapi import document
from maicivy.web.routes import routes
from tests.integration.test_cli import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Client

ROOT = Path(__file__).resolve().parents[2]
# Seconds that generating cases may take before the run is given up.
RUN_SECONDS = 300
CASES = "25"
# What is answered from memory alone.
MEMORY = ("/ledger", "/reader")


def described(value: Any) -> Iterator[str]:
    """Yield every `$ref` in a part of the document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from described(part)
    elif isinstance(value, list):
        for part in value:
            yield from described(part)


def test_every_route_is_described_and_nothing_else() -> None:
    there = {
        (re.sub(r"\{(\w+):[^}]+\}", r"{\1}", route.path), route.method.lower())  # type: ignore[attr-defined]
        for route in routes(Config())
    }
    there.discard(("/ws/analytics", "get"))
    whole = document()
    assert "/ws/analytics" in whole["x-websockets"]
    methods = {"get", "post", "put", "patch", "delete", "head", "options"}
    told = {
        (path, method)
        for path, item in whole["paths"].items()
        for method in item
        if method in methods
    }
    assert told == there


def test_what_is_not_on_this_port_is_not_described() -> None:
    assert "/metrics" not in document(metrics=False)["paths"]
    assert "/" not in document(root=False)["paths"]


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    whole = document()
    used = set(described(whole))
    for reference in used:
        part: Any = whole
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]
    components = {
        f"#/components/{kind}/{name}"
        for kind, named in whole["components"].items()
        for name in named
    }
    assert components <= used | {"#/components/schemas/Level2"}


def test_every_operation_says_what_can_go_wrong() -> None:
    whole = document()
    identities = []
    for path, item in whole["paths"].items():
        for operation in item.values():
            identities.append(operation["operationId"])
            if path.startswith("/api/") and not path.endswith(MEMORY):
                assert "503" in operation["responses"], path
    assert len(set(identities)) == len(identities)
    event = whole["paths"]["/api/v1/analytics/event"]["post"]["responses"]
    assert {"201", "202", "400", "403", "408", "413", "415", "429", "503"} <= set(event)


async def test_it_is_served_and_drawn_under_a_strict_policy(client: Client) -> None:
    response = await client.get("/openapi.json")
    assert (await response.json())["openapi"].startswith("3.1")
    page = await client.get("/docs")
    policy = page.headers["Content-Security-Policy"]
    assert page.status == 200
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for name in ("docs.js", "docs.css", "vendor/swagger-ui/swagger-ui-bundle.js"):
        assert (await client.get(f"/static/{name}")).status == 200


@pytest.mark.timeout(RUN_SECONDS + 60)
def test_generated_requests_find_no_fault(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", MAICIVY_EVENT_RATE_LIMIT="0")
    try:
        result = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                "run",
                f"http://127.0.0.1:{server.port}/openapi.json",
                "--checks=all",
                "--phases=examples,fuzzing,stateful",
                f"--max-examples={CASES}",
                "--seed=1",
                "--no-color",
            ],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
            | {"HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path / "hypothesis")},
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    finally:
        assert server.stop() == 0
    assert result.returncode == 0, result.stdout[-4000:]
    assert not re.search(r"(?<!\d)0 generated", result.stdout)
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "request failed" not in log
