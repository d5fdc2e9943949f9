"""`run.py demo`: closed days look as if the program had run then; live visitors use the door."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from maicivy import embedded
from maicivy.errors import OperatorError
from maicivy.history import commands
from maicivy.metrics import Metrics
from maicivy.storage.stores import open_stores
from tests.conftest import on_database, until
from tests.integration.test_cli import ROOT, Server, environment, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from maicivy.config import Config
    from tests.conftest import Database, FakeClock, Urls

NOW = dt.datetime(2026, 10, 28, 13, 30, tzinfo=dt.UTC)


def options(**changes: Any) -> argparse.Namespace:
    usual = {"days": 12, "visitors": 150, "seed": 1, "live": False, "force": False}
    return argparse.Namespace(**(usual | changes))


async def fill(urls: Urls, config: Config, clock: FakeClock, **changes: Any) -> int | None:
    async with open_stores(config, urls.database, urls.redis, Metrics(), clock) as stores:
        count = await commands.fill_demo(
            config, stores, options(**changes), clock(), lambda _: None
        )
        await stores.mirror.check()
        assert await stores.verifier.verify() == []
        return count


CONTENT = (
    "SELECT created_at, visitor_id, event_type, event_data, page_url, referrer, session_duration "
    "FROM events ORDER BY 1, 2, 3"
)


async def test_a_filled_database_is_as_if_the_program_had_run(
    urls: Urls, clock: FakeClock, config_factory: Callable[..., Config], database: Database
) -> None:
    config = config_factory(timezone=ZoneInfo("Europe/Paris"))
    clock.freeze(NOW)
    count = await fill(urls, config, clock)
    assert count == await database.fetchval("SELECT count(*) FROM events")
    assert await database.fetchval("SELECT count(*) FROM visitors") == 150
    assert (
        await database.fetchval(
            "SELECT count(*) FROM visitors AS v JOIN (SELECT visitor_id, min(created_at) AS first, "
            "max(created_at) AS last FROM events GROUP BY 1) AS e ON e.visitor_id = v.id "
            "WHERE v.first_visit = e.first AND v.last_visit = e.last"
        )
        == 150
    )
    for day, events in await database.fetch(
        "SELECT (created_at AT TIME ZONE 'Europe/Paris')::date, count(*) FROM events GROUP BY 1"
    ):
        told = "SELECT sum(events)::bigint FROM rollup_events WHERE day = $1"
        assert await database.fetchval(told, day) == events
    # a visit ends after 30 minutes without an event
    assert await database.fetchval("SELECT sum(visit_count) FROM visitors") == (
        await database.fetchval(
            "SELECT count(*) FROM (SELECT created_at - lag(created_at) OVER (PARTITION BY "
            "visitor_id ORDER BY created_at) AS gap FROM events) AS g "
            "WHERE gap IS NULL OR gap > interval '30 minutes'"
        )
    )
    # the same seed at the same time is the same traffic
    content = await database.fetch(CONTENT)
    await database.execute("CREATE DATABASE demo_again TEMPLATE template_maicivy")
    try:
        again = type(urls)(on_database(urls.database, "demo_again"), urls.redis)
        assert await fill(again, config, clock) == count
        connection = await asyncpg.connect(again.database)
        assert await connection.fetch(CONTENT) == content
        await connection.close()
    finally:
        await database.execute("DROP DATABASE demo_again WITH (FORCE)")


async def test_it_mixes_with_real_events_only_when_forced(
    urls: Urls, clock: FakeClock, config_factory: Callable[..., Config], database: Database
) -> None:
    clock.freeze(NOW)
    config = config_factory()
    await database.execute("INSERT INTO rollup_periods VALUES ('month', '2026-10-01', 7, 0)")
    with pytest.raises(OperatorError, match="7 real events"):
        await fill(urls, config, clock)
    with pytest.raises(OperatorError, match="7 real events"):
        await fill(urls, config, clock, live=True)
    assert await database.fetchval("SELECT count(*) FROM events") == 0
    await database.execute("TRUNCATE rollup_periods")
    first = await fill(urls, config, clock)
    with pytest.raises(OperatorError, match="made-up events"):
        await fill(urls, config, clock)
    # only live visitors are wanted of a database that has its demo
    assert await fill(urls, config, clock, live=True) is None
    second = await fill(urls, config, clock, force=True, seed=2)
    assert await database.fetchval("SELECT count(*) FROM events") == (first or 0) + (second or 0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"days": 0}, "--days"), ({"days": 91}, "--days"), ({"visitors": 0}, "--visitors")],
)
async def test_sizes_are_checked(
    urls: Urls, clock: FakeClock, config_factory: Any, changes: Any, says: str
) -> None:
    with pytest.raises(OperatorError, match=says):
        await fill(urls, config_factory(), clock, **changes)


def test_live_visitors_come_through_the_door_of_a_running_program(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    try:
        arguments = ("demo", "--days", "2", "--visitors", "20", "--live")
        assert live(arguments, server.settings, tmp_path / "data") == 0
        result = run("verify", **server.settings)
        assert (result.returncode, result.stdout) == (0, "Redis and PostgreSQL agree.\n")
    finally:
        assert server.stop() == 0


def test_live_visitors_bring_a_program_of_their_own(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")  # for its settings and a free port
    assert server.stop() == 0
    arguments = ("demo", "--days", "1", "--visitors", "5", "--live")
    assert live(arguments, server.settings, tmp_path / "data") == 0
    processes = subprocess.run(
        ["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True
    )
    assert str(tmp_path / "data") not in processes.stdout


def live(arguments: tuple[str, ...], settings: dict[str, str], data_dir: Path) -> int:
    """Let visitors come until some events were stored through the door; return the exit code."""
    log = data_dir.with_suffix(".demo")
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, ROOT / "run.py", *arguments], env=environment(**settings),
            stderr=stream, stdout=stream, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while "Visitors are coming" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        with embedded.attach_or_start(data_dir) as servers:
            asyncio.run(stored_live(servers.database_url or ""))
    finally:
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(30)
    assert "Traceback" not in log.read_text(), log.read_text()
    return code


async def stored_live(url: str) -> None:
    """Wait until visitors of today's cookies have viewed pages and their language is known."""
    connection = await asyncpg.connect(url)
    statement = (
        "SELECT count(*) FROM analytics_events AS e JOIN visitors AS v ON v.id = e.visitor_id "
        "WHERE e.updated_at > now() - interval '30 seconds' AND v.language <> '' "
        "AND e.created_at > (SELECT max(applied_at) FROM schema_migrations)"
    )

    async def is_stored() -> bool:
        return bool(await connection.fetchval(statement))

    await until(is_stored, 60)
    await connection.close()
