"""Large reports: few at once, few that wait, the same question asked once, events never behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.errors import StorageUnavailable, Unavailable
from maicivy.reports import gate
from maicivy.reports.gate import Gate
from maicivy.storage.postgres import SCAN_CONNECTIONS, SCAN_NICENESS, Postgres
from maicivy.web import keys
from tests.conftest import API, get_data, send_event, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Client, ClientFactory, Urls


class Held:
    """A report that takes until it is let go; counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.most_at_once = 0
        self._now = 0
        self.end = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await self.end.wait()
        self._now -= 1
        return self.begun


@contextlib.asynccontextmanager
async def tasks(count: int, ask: Any) -> AsyncIterator[list[asyncio.Task[Any]]]:
    made = [asyncio.create_task(ask(number)) for number in range(count)]
    await asyncio.sleep(0.01)
    try:
        yield made
    finally:
        for task in made:
            task.cancel()
        await asyncio.gather(*made, return_exceptions=True)


async def test_two_at_once_sixteen_wait_and_the_rest_is_busy() -> None:
    doors, report = Gate(places=2), Held()
    async with tasks(30, lambda n: doors.share(n, report)) as asked:
        assert report.begun == 2
        refused = [task for task in asked if task.done()]
        assert len(refused) == 30 - 2 - gate.MAX_WAITING
        for task in refused:
            error = task.exception()
            assert isinstance(error, Unavailable)
            assert (error.code, error.headers) == ("busy", {"Retry-After": "1"})
        report.end.set()
        await asyncio.gather(*(task for task in asked if task not in refused))
    assert (report.begun, report.most_at_once) == (18, 2)


async def test_nobody_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "PATIENCE_SECONDS", 0.05)
    doors, report = Gate(places=2), Held()
    async with tasks(3, lambda n: doors.share(n, report)) as asked:
        with pytest.raises(Unavailable, match="Too many large reports"):
            await asked[2]
        report.end.set()
        # who gave up waiting holds no place and is waited for by nobody
        assert await doors.share(2, report) == 3


async def test_the_same_question_is_asked_once_by_all_who_wait() -> None:
    doors, report = Gate(places=2), Held()
    async with tasks(40, lambda _: doors.share("same", report)) as asked:
        assert report.begun == 2  # one that has begun may not see what came after it
        report.end.set()
        answers = await asyncio.gather(*asked)
    assert report.begun == 3
    assert answers.count(answers[-1]) >= 38


async def test_who_shares_hears_of_failures_too() -> None:
    doors, report = Gate(places=1), Held()
    async with tasks(3, lambda n: doors.share("same", report if n == 0 else broken)) as asked:
        report.end.set()
        for task in asked[1:]:
            with pytest.raises(ZeroDivisionError):
                await task
    async with tasks(3, lambda _: doors.share("same", Held())) as asked:
        asked[1].cancel()
        with pytest.raises(StorageUnavailable):
            await asked[2]


async def broken() -> int:
    raise ZeroDivisionError


@pytest.fixture
async def held(client: Client, monkeypatch: pytest.MonkeyPatch) -> Held:
    """Hold every large report of the application."""
    report = Held()
    scan = Postgres.scan

    async def slow(self: Postgres, name: str, *values: Any) -> Any:
        await report()
        return await scan(self, name, *values)

    monkeypatch.setattr(Postgres, "scan", slow)
    return report


async def test_large_reports_are_bounded_and_nothing_else_waits(client: Client, held: Held) -> None:
    await send_event(client, event_data={"x": 1, "y": 1})
    paths = ["heatmap?hours=%d", "timeline?offset=%d"]
    urls = [f"{API}/{path % (2000 + n if 'offset' in path else 1 + n)}"
            for n in range(12) for path in paths]  # fmt: skip
    asked = [asyncio.create_task(client.get(url)) for url in urls]
    refused = len(urls) - SCAN_CONNECTIONS - gate.MAX_WAITING
    await until(lambda: sum(task.done() for task in asked) == refused)
    for task in asked:
        if task.done():
            answer = await task
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert await answer.json() == {
                "success": False,
                "error": "Too many large reports are being made; try again shortly.",
                "code": "busy",
            }
    async with asyncio.timeout(1):
        await send_event(client)
        assert len(await get_data(client, "timeline")) == 2
        assert (await get_data(client, "realtime"))["total_events"] == 2
    held.end.set()
    answers = await asyncio.gather(*asked)
    assert sorted({answer.status for answer in answers}) == [200, 503]
    assert held.most_at_once == SCAN_CONNECTIONS


async def test_who_waits_sees_what_was_stored_before_they_asked(client: Client, held: Held) -> None:
    async with tasks(SCAN_CONNECTIONS, lambda _: get_data(client, "heatmap")) as begun:
        await until(lambda: held.begun == SCAN_CONNECTIONS)
        await send_event(client, event_data={"x": 1, "y": 1})
        late = asyncio.create_task(get_data(client, "heatmap"))
        await asyncio.sleep(0.05)
        held.end.set()
        assert await late == [{"x": 1, "y": 1, "count": 1}]
        await asyncio.gather(*begun)


async def test_a_server_of_our_own_makes_large_reports_last(
    make_client: ClientFactory, urls: Urls
) -> None:
    for settings, niceness in (({}, SCAN_NICENESS), ({"database_url": urls.database}, 0)):
        postgres = (await make_client(**settings)).app[keys.POSTGRES]
        [row] = await postgres.scan("ping")
        async with postgres._scans.acquire() as connection:
            pid = connection.get_server_pid()
        assert row[0] == 1
        assert os.getpriority(os.PRIO_PROCESS, pid) == niceness
        async with postgres.writing() as connection:
            assert os.getpriority(os.PRIO_PROCESS, connection.get_server_pid()) == 0
