"""`run.py import` against real servers: exact rows, days and zones, twice, killed, and privacy."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import gzip
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

import run as commandline
from maicivy import embedded
from maicivy.embedded.folder import read_servers
from maicivy.embedded.programs import find_postgres
from maicivy.errors import OperatorError, StorageUnavailable
from maicivy.history import commands, past
from maicivy.history.pageviews import Skip
from maicivy.metrics import Metrics
from maicivy.periods import Period
from maicivy.storage import keys
from maicivy.storage.stores import Stores, open_stores
from tests.conftest import BROWSER
from tests.integration.canaries import ALWAYS, CLIENT_IPV4, CLIENT_IPV6, SHAPES, USER_AGENT, find
from tests.integration.test_canaries import postgres_places, redis_places, spellings
from tests.integration.test_cli import ROOT, Server, environment, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from maicivy.config import Config
    from maicivy.history.importing import Imported
    from tests.conftest import Database, FakeClock, Urls

NOW = dt.datetime(2026, 11, 26, 12, 0, tzinfo=dt.UTC)
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
)


def at(instant: dt.datetime, offset_hours: int = 0) -> str:
    zone = dt.timezone(dt.timedelta(hours=offset_hours))
    return instant.astimezone(zone).strftime("%d/%b/%Y:%H:%M:%S %z")


def line(
    when: dt.datetime | str, target: str = "/cv", *, who: str = "203.0.113.7", method: str = "GET",
    status: int = 200, referrer: str = "-", agent: str = BROWSER,
) -> str:  # fmt: skip
    time = when if isinstance(when, str) else at(when)
    return f'{who} - - [{time}] "{method} {target} HTTP/1.1" {status} 512 "{referrer}" "{agent}"\n'


class Importer:
    """Imports files, as the command does, into the test's database."""

    def __init__(self, config: Config, stores: Stores, clock: FakeClock, folder: Path) -> None:
        self.config, self.stores, self.clock, self.folder = config, stores, clock, folder

    async def __call__(
        self, *names: str | Path, site: str | None = None, before: str | None = None
    ) -> Imported:
        options = argparse.Namespace(logs=[str(name) for name in names], site=site, before=before)
        return await commands.import_logs(
            self.config, self.stores, options, self.clock(), lambda _: None
        )

    def write(self, name: str, lines: Iterable[str]) -> Path:
        file = self.folder / name
        file.write_bytes("".join(lines).encode())
        return file

    async def differences(self) -> list[Any]:
        """Check Redis as a running program does, then compare everything."""
        await self.stores.mirror.check()
        return await self.stores.verifier.verify()


@asynccontextmanager
async def importing_into(
    urls: Urls, clock: FakeClock, config: Config, folder: Path
) -> AsyncIterator[Importer]:
    async with open_stores(config, urls.database, urls.redis, Metrics(), clock) as stores:
        yield Importer(config, stores, clock, folder)


@pytest.fixture
async def importer(
    urls: Urls, clock: FakeClock, config_factory: Callable[..., Config], tmp_path: Path
) -> AsyncIterator[Importer]:
    clock.freeze(NOW)
    async with importing_into(urls, clock, config_factory(), tmp_path) as one:
        yield one


async def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await database.fetch(statement)]


async def test_exact_rows_of_a_small_log(importer: Importer, database: Database) -> None:
    morning = NOW - dt.timedelta(days=3, hours=2)
    log = importer.write(
        "access.log",
        [
            line(morning, "/", referrer="https://www.google.com/search?q=private"),
            line(morning + dt.timedelta(seconds=1), "/assets/site.css"),
            line(morning + dt.timedelta(seconds=40), "/cv?theme=backend&mail=a%40b.example",
                 referrer="https://www.example.org/"),
            line(morning + dt.timedelta(seconds=50), "/missing", status=404),
            line(morning + dt.timedelta(seconds=51), "/old", status=301),
            line(morning + dt.timedelta(seconds=52), "/cv", status=304, who="2001:db8::7"),
            line(morning + dt.timedelta(seconds=53), "/api/v1/analytics/stats"),
            line(morning + dt.timedelta(seconds=54), "/contact", method="POST"),
            line(morning + dt.timedelta(seconds=55), "/", agent="curl/8.5.0"),
            line(morning + dt.timedelta(seconds=56), "/", agent="Googlebot/2.1"),
            line(morning + dt.timedelta(seconds=57), "/", agent="-"),
            "what is this?\n",
            "\n",
            line(morning + dt.timedelta(hours=2), r"/caf\xC3\xA9", agent=PHONE),
            line(morning + dt.timedelta(hours=2), "/cv"),
            line(NOW - dt.timedelta(days=91), "/old-page"),
            line(NOW + dt.timedelta(days=1), "/tomorrow"),
        ],
    )  # fmt: skip
    done = await importer(log, site="https://example.org")
    assert (done.lines, done.events) == (16, 5)
    assert done.skipped == Counter(
        {Skip.BAD: 1, Skip.FAILED: 2, Skip.OTHER: 3, Skip.BOT: 3, Skip.OLD: 1, Skip.LATE: 1}
    )
    assert await rows(
        database,
        "SELECT event_type, event_data::text, page_url, referrer, session_duration, created_at, "
        "updated_at = created_at FROM events ORDER BY created_at, id",
    ) == [
        ("page_view", '{"path": "/"}', "/", "https://www.google.com/search", 0, morning, True),
        (
            "page_view",
            '{"path": "/cv", "theme": "backend"}',
            "/cv?theme=backend",
            "/",
            0,
            morning + dt.timedelta(seconds=40),
            True,
        ),
        ("page_view", '{"path": "/cv"}', "/cv", None, 0, morning + dt.timedelta(seconds=52), True),
        (
            "page_view",
            '{"path": "/caf%C3%A9"}',
            "/caf%C3%A9",
            None,
            0,
            morning + dt.timedelta(hours=2),
            True,
        ),
        ("page_view", '{"path": "/cv"}', "/cv", None, 0, morning + dt.timedelta(hours=2), True),
    ]
    assert await rows(
        database,
        "SELECT browser, os, device, language, visit_count, first_visit, last_visit "
        "FROM visitors ORDER BY first_visit, browser",
    ) == [
        ("Chrome", "Linux", "desktop", "", 2, morning, morning + dt.timedelta(hours=2)),
        ("Chrome", "Linux", "desktop", "", 1, *[morning + dt.timedelta(seconds=52)] * 2),
        ("Safari", "iOS", "mobile", "", 1, *[morning + dt.timedelta(hours=2)] * 2),
    ]
    day = morning.date()
    assert await rows(database, "TABLE rollup_events") == [(day, "page_view", 5)]
    assert await rows(database, "TABLE rollup_themes") == [(day, "backend", 1)]
    assert await importer.differences() == []
    first, *others = commands.sentences(done, 90)
    assert first.startswith("Imported 5 page views of 1 days from 16 lines in ")
    assert "1 left out: older than the retention of 90 days." in others
    assert "1 left out: no lines of a combined log." in others


async def test_twice_compressed_renamed_and_grown_nothing_is_doubled(
    importer: Importer, database: Database
) -> None:
    start = NOW - dt.timedelta(days=2)
    lines = [
        line(start + dt.timedelta(minutes=5 * number), f"/{number}", who=f"203.0.113.{number % 7}")
        for number in range(300)
    ]
    log = importer.write("access.log", lines[:100])
    assert (await importer(log)).events == 100
    again = await importer(log)
    assert (again.events, again.lines, again.read_before) == (0, 0, [str(log)])
    log = importer.write("access.log", lines[:200])
    assert (await importer(log)).events == 100
    renamed = log.rename(log.with_suffix(".1"))
    zipped = importer.folder / "access.log.2.gz"
    zipped.write_bytes(gzip.compress("".join(lines[:200]).encode()))
    fresh = importer.write("access.log", lines[200:])
    # the same log twice in one run, too
    assert (await importer(fresh, renamed, zipped, fresh)).events == 100
    assert await database.fetchval("SELECT count(*) FROM events") == 300
    assert await database.fetchval("SELECT sum(events) FROM rollup_events") == 300
    # who is who is the same in all runs, across the border of the logs and of the runs
    assert await database.fetchval("SELECT count(*) FROM visitors") == 7 * 2
    assert await importer.differences() == []


async def test_one_address_and_browser_is_one_visitor_a_day_in_the_zone(
    urls: Urls, clock: FakeClock, config_factory: Any, tmp_path: Path, database: Database
) -> None:
    """Lines around a change of clocks and local midnights, written under several offsets."""
    clock.freeze(NOW)
    config = config_factory(timezone=ZoneInfo("Europe/Paris"))
    async with importing_into(urls, clock, config, tmp_path) as importer:
        log = importer.write(
            "access.log",
            [
                line("24/Oct/2026:23:59:59 +0200"),  # Saturday
                line("25/Oct/2026:00:00:00 +0200"),  # Sunday, of 25 hours
                line("25/Oct/2026:02:30:00 +0200"),
                line("25/Oct/2026:02:30:00 +0100"),
                line("25/Oct/2026:22:59:59 +0000"),
                line("25/Oct/2026:18:00:00 -0500"),  # Monday in Paris
                line("26/Oct/2026:08:00:00 +0900"),
                line("26/Oct/2026:00:00:00 +0100", agent=PHONE),
            ],
        )
        assert (await importer(log)).events == 8
        saturday = dt.date(2026, 10, 24)
        sunday, monday = saturday + dt.timedelta(days=1), saturday + dt.timedelta(days=2)
        assert await rows(database, "SELECT day, events FROM rollup_events ORDER BY 1") == [
            (saturday, 1),
            (sunday, 4),
            (monday, 3),
        ]
        assert await rows(
            database,
            "SELECT browser, min(created_at AT TIME ZONE 'UTC')::text, count(*) FROM events "
            "JOIN visitors AS v ON v.id = visitor_id GROUP BY v.id ORDER BY 2, 1",
        ) == [
            ("Chrome", "2026-10-24 21:59:59", 1),
            ("Chrome", "2026-10-24 22:00:00", 4),
            ("Chrome", "2026-10-25 23:00:00", 2),
            ("Safari", "2026-10-25 23:00:00", 1),
        ]
        # 02:30 came twice, an hour apart
        assert await database.fetchval("SELECT max(visit_count) FROM visitors") == 4
        assert await importer.differences() == []


async def test_sites_of_one_log_and_days_that_were_counted_already(
    importer: Importer, database: Database
) -> None:
    day = NOW - dt.timedelta(days=5)
    log = importer.write(
        "access.log",
        [
            line(day, "/a", who="example.org:443 203.0.113.7"),
            line(day, "/b", who="www.EXAMPLE.org:80 203.0.113.7"),
            line(day, "/c", who="other.example:443 203.0.113.7"),
            line(day, "/d", who="example.org:443 203.0.113.7", referrer="https://example.org/a"),
            line(day + dt.timedelta(days=2), "/e", who="example.org 2001:db8::1"),
        ],
    )
    done = await importer(log, site="example.org", before=str((day + dt.timedelta(days=2)).date()))
    assert (done.events, done.skipped) == (3, Counter({Skip.FOREIGN: 1, Skip.LATE: 1}))
    pages = await rows(database, "SELECT page_url, referrer FROM events ORDER BY 1")
    assert pages == [("/a", None), ("/b", None), ("/d", "/a")]
    assert await database.fetchval("SELECT count(*) FROM visitors") == 1


async def test_two_servers_logs_of_the_same_days(importer: Importer, database: Database) -> None:
    """A visitor who comes earlier in a log that is read later was there earlier."""
    day = NOW - dt.timedelta(days=2)
    hours = [day + dt.timedelta(hours=n) for n in range(8)]
    first = importer.write(
        "1.log",
        [line(hours[0], who="203.0.113.1"), line(hours[4]), line(hours[6], agent=PHONE)],
    )
    second = importer.write(
        "2.log",
        [line(hours[1]), line(hours[2], agent=PHONE), line(hours[4]), line(hours[7])],
    )
    assert (await importer(second, first)).events == 7
    assert await rows(
        database, "SELECT visit_count, first_visit, last_visit FROM visitors ORDER BY 2"
    ) == [(1, hours[0], hours[0]), (3, hours[1], hours[7]), (2, hours[2], hours[6])]
    assert await importer.differences() == []


async def test_gzip_that_was_cut_off_and_lines_that_are_too_long(
    importer: Importer, database: Database
) -> None:
    lines = [line(NOW - dt.timedelta(hours=6, seconds=-n), f"/{n * 7919}") for n in range(20_000)]
    lines[7] = line(NOW, "/" + "x" * 20_000)
    file = importer.folder / "access.log.gz"
    whole = gzip.compress("".join(lines).encode())
    file.write_bytes(whole[:-1000])
    done = await importer(file)
    assert done.broken == [f"{file} is no whole gzip file"]
    assert done.skipped == Counter({Skip.LONG: 1})
    assert 0 < done.events < 19_999
    file.write_bytes(whole)
    assert (await importer(file)).events == 19_999 - done.events
    assert await database.fetchval("SELECT count(*) FROM events") == 19_999


async def test_closed_and_packed_days_take_more_events(
    importer: Importer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sketches of closed days, Redis' keys of past days and blocks are right after each import."""
    day = NOW - dt.timedelta(days=20)
    for number in range(3):
        log = importer.write(f"{number}.log", [
            line(day + dt.timedelta(minutes=n), f"/{number}", who=f"203.0.{number}.{n % 250}")
            for n in range(400)
        ])  # fmt: skip
        assert (await importer(log)).events == 400
        await cleaned(importer, monkeypatch)
        assert await importer.differences() == []
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 0
    assert await database.fetchval("SELECT sum(events) FROM packed_events") == 1200
    assert await database.fetchval("SELECT count(*) FROM unique_sketches") == 1
    key = keys.unique_visitors(Period.DAY, day.date())
    estimate = await importer.stores.patient_redis.pfcount(key)
    assert abs(estimate - 750) < 750 * 0.03


async def cleaned(importer: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commandline, "utc_now", importer.clock)
    await commandline._cleanup(importer.config, importer.stores).run_once()


async def test_a_failed_commit_is_tried_again_and_a_lost_reply_doubles_nothing(
    importer: Importer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "RETRY_PAUSE_SECONDS", 0.01)
    log = importer.write(
        "access.log", [line(NOW - dt.timedelta(hours=2), f"/{n}") for n in range(9)]
    )
    store, failures = past.PastEvents._store, iter(["before", "after"])

    async def fail(self: Any, events: Any, note: Any) -> int:
        when = next(failures, "")
        if when == "before":
            raise StorageUnavailable("gone")
        refused = await store(self, events, note)
        if when == "after":
            raise StorageUnavailable("the reply was lost")
        return refused

    monkeypatch.setattr(past.PastEvents, "_store", fail)
    assert (await importer(log)).events == 9
    assert await database.fetchval("SELECT count(*) FROM events") == 9
    assert await database.fetchval("SELECT count(*) FROM log_imports") == 1
    monkeypatch.setattr(past, "TRIES", 2)
    failures = iter(["before"] * 9)
    with pytest.raises(StorageUnavailable):
        await importer(importer.write("b.log", [line(NOW - dt.timedelta(hours=1), "/z")]))


async def test_what_postgresql_refuses_is_left_out_alone(
    importer: Importer, database: Database
) -> None:
    when = NOW - dt.timedelta(hours=2)
    targets = [f"/{n}" if n != 5 else "/cv?theme=a%00b" for n in range(12)]
    done = await importer(importer.write("a.log", [line(when, target) for target in targets]))
    assert (done.events, done.skipped[Skip.REFUSED]) == (11, 1)
    assert await database.fetchval("SELECT count(*) FROM events") == 11
    assert (await importer(importer.folder / "a.log")).lines == 0


async def test_more_views_in_a_second_than_a_millisecond_has_ids(
    importer: Importer, database: Database
) -> None:
    when = NOW - dt.timedelta(days=1)
    log = importer.write("a.log", [line(when, f"/{n % 5}") for n in range(9000)])
    assert (await importer(log)).events == 9000
    assert await database.fetchval("SELECT count(*) FROM events") == 9000


async def test_mistakes_are_a_sentence(importer: Importer, tmp_path: Path) -> None:
    good = importer.write("a.log", [line(NOW)])
    strange = importer.write("b.log", ["{}\n", "nothing\n"])
    for arguments, says in (
        (([good, tmp_path / "none"], {}), "cannot be read"),
        (([strange], {}), "None of 2 lines"),
        (([good], {"site": "https://example.org/blog"}), "--site must be"),
        (([good], {"before": "yesterday"}), "--before must be"),
    ):
        with pytest.raises(OperatorError, match=says):
            await importer(*arguments[0], **arguments[1])
    # a log of something else is not taken for read
    importer.write("b.log", [line(NOW - dt.timedelta(hours=1))])
    assert (await importer(strange)).events == 1
    async with past.PastEvents(importer.stores.postgres, importer.stores.partitions).alone():
        with pytest.raises(OperatorError, match="under way"):
            await importer(good)


# --- as a process ---------------------------------------------------------------------------------


def long_log(file: Path, count: int, start: dt.datetime) -> None:
    """Write lines of some days, a third of which are page views."""
    with file.open("w") as log:
        for number in range(count):
            target = f"/page/{number % 50}" if number % 3 == 0 else "/assets/site.css"
            when = start + dt.timedelta(seconds=number * 4)
            log.write(line(when, target, who=f"198.51.{number % 13}.{number % 97}"))


def query(data_dir: Path, *statements: str) -> list[Any]:
    async def ask(url: str) -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetchval(statement) for statement in statements]
        finally:
            await connection.close()

    with embedded.attach_or_start(data_dir) as servers:
        return asyncio.run(ask(servers.database_url or ""))


def test_killed_midway_and_gone_on_with(tmp_path: Path) -> None:
    log, data_dir = tmp_path / "access.log", tmp_path / "data"
    count = 60_000
    start = dt.datetime.now(dt.UTC) - dt.timedelta(days=4)
    long_log(log, count, start)
    settings = {"MAICIVY_DATA_DIR": str(data_dir)}
    read: list[int] = []
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, ROOT / "run.py", "import", log],
            env=environment(**settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        before = read[-1] if read else 0
        while read_servers(data_dir).get("pid") != process.pid:
            assert process.poll() is None
            time.sleep(0.01)
        with embedded.attach_or_start(data_dir) as servers:
            asyncio.run(read_beyond(servers.database_url or "", before))
            process.send_signal(signal.SIGKILL)
            process.wait()
        read += query(data_dir, "SELECT read_bytes FROM log_imports")
        assert before < read[-1]
        if read[-1] == log.stat().st_size:
            break
    assert read[0] < log.stat().st_size, "it was not killed midway"
    done = run("import", str(log), **settings)
    assert done.returncode == 0, done.stderr
    assert "had been read before" in done.stdout
    assert query(
        data_dir,
        "SELECT count(*) FROM events",
        "SELECT sum(events)::integer FROM rollup_events",
        "SELECT count(DISTINCT id) FROM events",
        "SELECT count(*) FROM visitors",
    ) == [count / 3, count / 3, count / 3, len(visitors_of(count, start))]
    assert run("verify", **settings).returncode == 0


def visitors_of(count: int, start: dt.datetime) -> set[tuple[dt.date, int, int]]:
    return {
        ((start + dt.timedelta(seconds=number * 4)).date(), number % 13, number % 97)
        for number in range(0, count, 3)
    }


async def read_beyond(url: str, before: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    if (
                        await connection.fetchval("SELECT max(read_bytes) FROM log_imports") or 0
                    ) > before:
                        return
                except asyncpg.UndefinedTableError:
                    pass
                await asyncio.sleep(0.005)
    finally:
        await connection.close()


def test_beside_a_running_server_from_standard_input(tmp_path: Path) -> None:
    """The running program's answers are right a heartbeat later."""
    server = Server(tmp_path / "data")
    try:
        assert server.post() == 201
        when = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=30)
        text = "".join(line(when, f"/{n}", who=f"198.51.100.{n % 50}") for n in range(200))
        text += "".join(
            line(when - dt.timedelta(days=3), "/", who=f"198.51.{n}.1") for n in range(90)
        )
        done = subprocess.run(
            [sys.executable, ROOT / "run.py", "import", "-"], input=gzip.compress(text.encode()),
            env=environment(**server.settings), capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert b"Imported 290 page views of 2 days" in done.stdout
        result = run("verify", **server.settings)
        assert (result.returncode, result.stdout) == (0, "Redis and PostgreSQL agree.\n")
        assert server.post() == 201
        deadline = time.monotonic() + 30
        while current_visitors(server) < 50:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        assert server.stop() == 0


def current_visitors(server: Server) -> int:
    url = f"http://127.0.0.1:{server.port}/api/v1/analytics/realtime"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return int(json.load(answer)["data"]["current_visitors"])


def test_nothing_that_names_a_visitor_is_kept(tmp_path: Path) -> None:
    """Plant canaries in every field of lines; search all that is stored, logged and said."""
    when = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    lines = [line(when, "/controlpage4711", who=CLIENT_IPV4, agent=USER_AGENT)]
    for who in (CLIENT_IPV4, CLIENT_IPV6, f"example.org:443 {CLIENT_IPV4}"):
        for canary in SHAPES:
            for text in spellings(canary):
                spelled = text.replace(" ", "%20").replace('"', "%22")
                referrer = f"https://{spelled}:x@mail.example/{spelled}?{spelled}#{spelled}"
                targets = (f"/cv/{spelled}/x", f"/cv?theme={spelled}&ref={spelled}",
                           f"/{spelled}", f"/cv?mail={spelled}")  # fmt: skip
                lines += [
                    line(when, target, who=who, agent=USER_AGENT, referrer=referrer)
                    for target in targets
                ]
    lines += [f"broken {canary} {CLIENT_IPV4} {USER_AGENT}\n" for canary in SHAPES]
    lines.append(line(when, "/", who=f"{CLIENT_IPV4} - camille.moreau7731@courriel.example"))
    log, data_dir = tmp_path / "access.log", tmp_path / "data"
    log.write_text("".join(lines))
    settings = {"MAICIVY_DATA_DIR": str(data_dir), "MAICIVY_LOG_LEVEL": "debug",
                "MAICIVY_QUERY_PARAMETERS": "*"}  # fmt: skip
    done = run("import", str(log), **settings)
    assert done.returncode == 0, done.stderr
    places = {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    for file in data_dir.rglob("logs/*"):
        places[f"the log {file.name}"] = file.read_bytes()
    with embedded.attach_or_start(data_dir) as servers:
        programs = find_postgres([], data_dir).binary.parent
        places |= postgres_places(servers.database_url or "", programs, tmp_path)
        places |= redis_places(servers.redis_url or "", data_dir)
    assert find(["/controlpage4711"], places)
    assert find(ALWAYS, places) == []
