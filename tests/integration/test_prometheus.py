"""A real Prometheus scrapes the program and answers every expression of the founding document."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.conftest import API, send_event, until
from tests.contract.test_metrics import EXPRESSIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import Client

SETTINGS = """
global:
  scrape_interval: 500ms
scrape_configs:
  - job_name: maicivy
    static_configs:
      - targets: ["{target}"]
"""


def tool(name: str) -> str:
    """Return where the tool is; a test that needs it is skipped where it is not."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (apt install prometheus)")
    return path


async def traffic(client: Client) -> None:
    """Do everything that a metric counts, once."""
    await send_event(client, "page_view", page_url="/cv?theme=backend")
    await send_event(client, page_url="/letters", event_data={"x": 1, "y": 2})
    for kind in ("motivation", "anti_motivation"):
        await send_event(client, "letter_generate", event_data={"letter_type": kind})
    for path in ("realtime", "stats?period=day", "timeline"):
        assert (await client.get(f"{API}/{path}")).status == 200


async def test_promtool_finds_nothing_to_say(client: Client) -> None:
    await traffic(client)
    check_with_promtool(await (await client.get("/metrics")).read())


def check_with_promtool(body: bytes) -> None:
    """See that promtool finds nothing to say about an exposition."""
    result = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=body, capture_output=True, check=False
    )
    said = (result.stdout + result.stderr).decode()
    ours = [line for line in said.splitlines() if line.startswith("maicivy_")]
    assert ours == []
    assert result.returncode == 0, said


class Prometheus:
    """A Prometheus that scrapes one target."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._url = f"http://127.0.0.1:{port}"

    async def ready(self) -> bool:
        """Say whether it takes questions."""
        with contextlib.suppress(aiohttp.ClientError):
            async with self._session.get(f"{self._url}/-/ready") as response:
                return response.status == 200
        return False

    async def ask(self, expression: str) -> list[Any]:
        """Return the answer to an instant query."""
        params = {"query": expression}
        async with self._session.get(f"{self._url}/api/v1/query", params=params) as response:
            answer = await response.json()
        assert answer["status"] == "success", (expression, answer)
        found: list[Any] = answer["data"]["result"]
        return found


@pytest.fixture
async def prometheus(client: Client, tmp_path: Path) -> AsyncIterator[Prometheus]:
    program = tool("prometheus")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = tmp_path / "prometheus.yml"
    settings.write_text(SETTINGS.format(target=f"{client.host}:{client.port}"))
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={settings}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as session:
            asked = Prometheus(session, port)
            await until(asked.ready, 30)
            yield asked
    finally:
        process.terminate()
        await process.wait()


async def test_every_expression_of_the_document_has_an_answer(
    client: Client, prometheus: Prometheus
) -> None:
    assert len(EXPRESSIONS) > 8
    without = set(EXPRESSIONS)
    for _ in range(60):
        await traffic(client)
        await asyncio.sleep(0.5)
        without = {one for one in without if not await prometheus.ask(one)}
        if not without:
            break
    assert without == set()
    [sample] = await prometheus.ask("maicivy_current_visitors")
    assert float(sample["value"][1]) == 1
