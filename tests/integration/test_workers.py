"""The real program with several workers: one port, one set of numbers, one set of limits."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from maicivy import embedded, exposition
from maicivy.embedded.folder import read_servers
from maicivy.shared import shared_folder
from tests.conftest import API, BROWSER, until
from tests.integration.test_cli import Server, run
from tests.integration.test_prometheus import check_with_promtool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

WORKERS = 2
PLACES = 6
READY = re.compile(r"worker is ready worker=(\d+) pid=(\d+)")


class Workers(Server):
    """`run.py` with workers."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(
            data_dir,
            MAICIVY_WORKERS=str(WORKERS),
            MAICIVY_EVENT_RATE_LIMIT="0",
            MAICIVY_WS_MAX_CONNECTIONS=str(PLACES),
        )
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def pids(self) -> dict[int, int]:
        """The process in each slot."""
        return {int(slot): int(pid) for slot, pid in READY.findall(self.log.read_text())}

    @property
    def folder(self) -> Path:
        """What the workers share."""
        command = Path(f"/proc/{self.pids[0]}/cmdline").read_bytes().split(b"\0")
        return Path(command[command.index(b"worker") + 2].decode())

    @property
    def urls(self) -> dict[str, str]:
        """Where its servers are."""
        urls: Any = read_servers(Path(self.settings["MAICIVY_DATA_DIR"]))["urls"]
        return dict(urls)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    program = Workers(tmp_path_factory.mktemp("workers") / "data")
    yield program
    if program.process.poll() is None:
        program.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that opens a connection for each request, so that every worker gets some."""
    connector = aiohttp.TCPConnector(force_close=True, limit=20)
    async with aiohttp.ClientSession(
        connector=connector, headers={"User-Agent": BROWSER}, timeout=aiohttp.ClientTimeout(15)
    ) as session:
        yield session


async def post(session: aiohttp.ClientSession, program: Workers, kind: str, **data: Any) -> int:
    body = {"event_type": kind, "event_data": data}
    async with session.post(f"{program.url}{API}/event", json=body) as response:
        return response.status


async def metrics(session: aiohttp.ClientSession, program: Workers) -> dict[str, dict[str, float]]:
    """Return every sample by name and by its labels' values, read by the library's own parser."""
    async with session.get(f"{program.url}/metrics") as response:
        text = await response.text()
    found: dict[str, dict[str, float]] = collections.defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            assert labels not in found[sample.name], "a series stands there once"
            found[sample.name][labels] = sample.value
    return found


async def ledger(session: aiohttp.ClientSession, program: Workers) -> dict[str, Any]:
    async with session.get(f"{program.url}{API}/ledger") as response:
        return dict((await response.json())["data"])


class Load:
    """Posts numbered events without a pause and notes which were answered 201."""

    def __init__(self, session: aiohttp.ClientSession, program: Workers) -> None:
        self._session, self._program = session, program
        self._numbers = iter(range(1_000_000))
        self.sent = 0
        self.stored: list[int] = []

    async def run(self) -> None:
        while True:
            number = next(self._numbers)
            self.sent += 1
            try:
                if await post(self._session, self._program, "load", n=number) == 201:
                    self.stored.append(number)
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.run()) for _ in range(8)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def rows(url: str) -> collections.Counter[int]:
    """Return how often each numbered event is stored."""
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetch(
            "SELECT event_data->>'n' AS n FROM analytics_events WHERE event_type = 'load'"
        )
    finally:
        await connection.close()
    return collections.Counter(int(row["n"]) for row in found)


async def test_every_worker_answers_and_any_of_them_tells_the_sum(
    program: Workers, session: aiohttp.ClientSession
) -> None:
    assert sorted(program.pids) == list(range(WORKERS))
    count = 90
    statuses = await asyncio.gather(*(post(session, program, "click") for _ in range(count)))
    refused = await asyncio.gather(*(post(session, program, "5") for _ in range(30)))
    assert (set(statuses), set(refused)) == ({201}, {400})
    for slot in program.pids:
        name = '["maicivy_events_received", "maicivy_events_received_total"'
        values = exposition.Files(program.folder).read(f"counter_{slot}.db")
        [own] = [value for key, value in values.items() if key.startswith(name)]
        assert 0 < own < count
    for _ in range(10):  # whoever answers
        found = await metrics(session, program)
        assert found["maicivy_events_received_total"][""] == count + 30
        assert found["maicivy_events_total"]["click"] == count
        assert found["maicivy_events_dropped_total"]["invalid"] == 30
        assert found["maicivy_build_info"].popitem()[1] == 1
        assert found["maicivy_database_up"][""] == 1
        assert found["maicivy_worker_restarts_total"][""] == 0
        name = "maicivy_analytics_request_duration_seconds_count"
        assert found[name]["/api/v1/analytics/event,POST,201"] == count
        summary = await ledger(session, program)
        assert (summary["received"], summary["stored"]) == (count + 30, count)
        assert (summary["invalid"], summary["pending"]) == (30, 0)

    async def settled() -> bool:
        # as soon as all rely on Redis, and have noted anew how many wait (they do every second)
        found = await metrics(session, program)
        names = "maicivy_current_visitors", "maicivy_ingest_queue_depth"
        return [found[name][""] for name in names] == [1, 0]

    await until(settled)
    async with session.get(f"{program.url}/metrics") as response:
        check_with_promtool(await response.read())


async def test_labels_are_bounded_for_all_together(
    program: Workers, session: aiohttp.ClientSession
) -> None:
    names = [f"type{n}" for n in range(130)] * 2
    await asyncio.gather(*(post(session, program, name) for name in names))
    found = (await metrics(session, program))["maicivy_events_total"]
    assert len(found) == 101
    assert sum(found.values()) == 90 + len(names)
    # all workers have the same names: what has one counts in no other's `other`
    assert {found[name] for name in names if name in found} == {2}


async def test_places_of_the_live_feed_are_counted_together(
    program: Workers, session: aiohttp.ClientSession
) -> None:
    async def connect() -> aiohttp.ClientWebSocketResponse | None:
        try:
            return await session.ws_connect(f"{program.url}/ws/analytics")
        except aiohttp.WSServerHandshakeError as error:
            statuses.add(error.status)
            return None

    statuses: set[int] = set()
    tried = await asyncio.gather(*(connect() for _ in range(18)))
    sockets = [socket for socket in tried if socket]
    assert (len(sockets), statuses) == (PLACES, {503})
    assert (await metrics(session, program))["maicivy_websocket_connections"][""] == PLACES
    seen: collections.Counter[int] = collections.Counter()

    async def watch(socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            seen[message.json().get("data", {}).get("n")] += 1

    watching = [asyncio.create_task(watch(socket)) for socket in sockets]
    assert {await post(session, program, "seen", n=n) for n in range(9)} == {201}
    await until(lambda: all(seen[n] >= PLACES for n in range(9)))
    await asyncio.sleep(0.1)
    assert [seen[n] for n in range(9)] == [PLACES] * 9
    for one in sockets[:2]:
        await one.close()
    again = [socket for socket in await asyncio.gather(*(connect() for _ in range(9))) if socket]
    assert len(again) == 2
    await asyncio.gather(*(socket.close() for socket in [*sockets, *again]))
    await asyncio.gather(*watching)


async def test_one_cleanup_for_all(program: Workers) -> None:
    assert program.log.read_text().count("Starting analytics cleanup scheduler") == WORKERS
    connection = await asyncpg.connect(program.urls["postgres"])
    try:
        await until(lambda: "cleanup finished" in program.log.read_text())
        runs = await connection.fetch("SELECT status FROM cleanup_runs")
    finally:
        await connection.close()
    assert [run["status"] for run in runs] == ["done"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_port_is_taken_for_everybody_else(program: Workers, workers: str) -> None:
    urls = {"DATABASE_URL": program.urls["postgres"], "REDIS_URL": program.urls["redis"]}
    settings = {"MAICIVY_PORT": str(program.port), **urls}
    result = run("serve", "--workers", workers, **settings)
    assert result.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{program.port}" in result.stderr
    assert "Traceback" not in result.stderr


async def test_a_worker_that_is_killed_comes_back_and_takes_nothing_with_it(
    program: Workers, session: aiohttp.ClientSession
) -> None:
    sockets = [await session.ws_connect(f"{program.url}/ws/analytics") for _ in range(PLACES)]
    victim, others = program.pids[1], (await ledger(session, program))["stored"]
    load, received = Load(session, program), [0.0]
    async with load.running():
        await asyncio.sleep(0.5)
        os.kill(victim, signal.SIGKILL)
        deadline = time.monotonic() + 15
        while program.pids[1] == victim:
            assert time.monotonic() < deadline
            with contextlib.suppress(aiohttp.ClientError):
                now = await metrics(session, program)
                received.append(now["maicivy_events_received_total"][""])
        await asyncio.sleep(0.3)
    assert received == sorted(received)
    assert len(load.stored) > 50
    for _ in range(100):
        if not (await ledger(session, program))["pending"]:
            break
        await asyncio.sleep(0.05)
    stored = await rows(program.urls["postgres"])
    assert set(load.stored) <= stored.keys()
    assert set(stored.values()) == {1}
    after = await metrics(session, program)
    assert after["maicivy_worker_restarts_total"][""] == 1
    summary = await ledger(session, program)
    assert summary["pending"] == 0
    unsure = summary["refused_by_reason"]["worker_died"]
    assert 0 <= len(stored) - (summary["stored"] - others) <= unsure
    assert f"worker died worker=1 pid={victim} exit_code=-9" in program.log.read_text()

    # its places are free again, and no others
    for one in sockets:
        with contextlib.suppress(TimeoutError):
            while not one.closed:
                await one.receive(0.05)
    gone = sum(socket.closed for socket in sockets)
    tried = await asyncio.gather(
        *(session.ws_connect(f"{program.url}/ws/analytics") for _ in range(PLACES)),
        return_exceptions=True,
    )
    again = [one for one in tried if isinstance(one, aiohttp.ClientWebSocketResponse)]
    assert len(again) == gone
    await asyncio.gather(*(socket.close() for socket in [*sockets, *again]))


async def read_to_its_end(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


async def test_a_stop_under_load_loses_nothing_that_was_acknowledged(
    program: Workers, session: aiohttp.ClientSession
) -> None:
    pids = list(program.pids.values())
    sockets = [await session.ws_connect(f"{program.url}/ws/analytics") for _ in range(PLACES)]
    load = Load(session, program)
    async with load.running():
        await asyncio.sleep(0.5)
        program.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*map(read_to_its_end, sockets))
        code = await asyncio.to_thread(program.process.wait, 15)
    assert code == 0
    assert {socket.close_code for socket in sockets} == {1001}  # every worker took its leave
    assert not any(map(is_alive, pids))
    log = program.log.read_text()
    assert ("Traceback" in log, "Warning" in log) == (False, False)
    with embedded.attach_or_start(Path(program.settings["MAICIVY_DATA_DIR"])) as servers:
        stored = await rows(servers.database_url or "")
    assert len(load.stored) > 50
    assert set(load.stored) <= stored.keys()


async def test_nothing_outlives_a_parent_that_was_killed(
    program: Workers, session: aiohttp.ClientSession
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program.settings["MAICIVY_METRICS_PORT"] = str(port)
    program.start()
    for _ in range(6):  # all of them listen on that port too
        async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
            assert response.status == 200
    pids, folder = list(program.pids.values()), program.folder
    assert len(pids) == WORKERS
    program.process.kill()
    program.process.wait()
    await until(lambda: not any(map(is_alive, pids)), 3)

    async def nothing_left() -> bool:
        listed = subprocess.run(  # noqa: ASYNC221
            ["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True
        )
        return program.settings["MAICIVY_DATA_DIR"] not in listed.stdout

    await until(nothing_left, 5)
    assert folder.exists()
    with shared_folder(1):
        assert not folder.exists()  # the next start sweeps up


def test_a_mistake_is_said_once() -> None:
    result = run(
        "--workers",
        "3",
        DATABASE_URL="postgresql://:x",
        REDIS_URL="redis://127.0.0.1",
        MAICIVY_PORT="18999",
    )
    assert result.returncode == 2
    assert result.stderr.count("maicivy: DATABASE_URL") == 1


def test_so_many_workers_there_cannot_be() -> None:
    result = run("serve", "--workers", "65")
    assert result.returncode == 2
    assert "MAICIVY_WORKERS must be a whole number from 1 to 64" in result.stderr
