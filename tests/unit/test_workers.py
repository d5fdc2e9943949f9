"""What workers share, and how they are looked after: pieces of it, in this process."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client import values as client_values
from prometheus_client.parser import text_string_to_metric_families

from maicivy import exposition, serving, shared, workers
from maicivy.config import Config
from maicivy.errors import OperatorError
from maicivy.exposition import forget_live
from maicivy.ingest.ledger import DropReason, Ledger
from maicivy.labels import OTHER, SharedLabel
from maicivy.metrics import Metrics
from maicivy.shared import Member, SharedSeats, clear_seats, shared_folder
from maicivy.workers import Slot, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SINCE = dt.datetime(2025, 12, 8, tzinfo=dt.UTC)


@pytest.fixture
def folder() -> Iterator[Path]:
    with shared_folder(4) as folder:
        yield folder


@pytest.fixture
def made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Metrics]]:
    """Return what makes the metrics of a worker; the library's switch is put back afterwards.

    Labels go to the files of the worker that was made last: make one when its turn comes.
    """
    monkeypatch.setattr(client_values, "ValueClass", client_values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")

    def make(slot: int, deaths: int = 0) -> Metrics:
        return Metrics(Member(folder, slot, SINCE, deaths))

    yield make
    exposition.close()


def exposed(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Return every sample by its name and the values of its labels."""
    body, _ = metrics.exposition()
    return {
        (sample.name.removeprefix("maicivy_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


# --- metrics --------------------------------------------------------------------------------------


def test_any_worker_tells_the_sum_of_all(made: Callable[..., Metrics]) -> None:
    all_of_them = []
    for number in range(1, 4):
        all_of_them.append(metrics := made(number))
        metrics.visitors.inc(number)
        metrics.events.labels('a"b\\c').inc(number)
        metrics.batch_size.observe(number)
        metrics.http_connections.set(number)
        metrics.database_up.set(number % 2)
        metrics.redis_up.set(1)
        metrics.current_visitors.set(number)
    all_of_them[1].current_visitors.set(7)
    for metrics in all_of_them:
        found = exposed(metrics)
        assert found["visitors_total",] == 6
        assert found["events_total", 'a"b\\c'] == 6
        assert found["http_connections",] == 6
        assert found["database_up",] == 0
        assert found["redis_up",] == 1
        assert found["current_visitors",] == 7
        assert [found["ingest_batch_size_bucket", le] for le in ("1.0", "2.0", "5.0", "+Inf")] == [
            1,
            2,
            3,
            3,
        ]
        assert (found["ingest_batch_size_count",], found["ingest_batch_size_sum",]) == (3, 6)
        assert metrics.counted(metrics.events) == {'a"b\\c': 6}


def test_what_a_single_process_exposes_is_there_with_workers_too(
    made: Callable[..., Metrics],
) -> None:
    lines: list[set[str]] = []
    for slot in (None, 0):
        metrics = Metrics() if slot is None else made(slot)
        metrics.request_duration.labels("/x", "GET", "200").observe(0.3)
        metrics.page_views.labels("/").inc(2_000_000)
        metrics.set_theme_views("dark", 3)
        text = metrics.exposition()[0].decode()
        lines.append({one for one in text.splitlines() if "maicivy_" in one})
    # the one gauge that is asked for is noted every second instead
    assert {line.partition(" ")[0] for line in lines[0] ^ lines[1]} <= {"maicivy_event_loop_tasks"}


def test_a_successor_goes_on_and_live_gauges_of_the_dead_are_forgotten(
    made: Callable[..., Metrics], folder: Path
) -> None:
    witness, dead = made(0), made(1)
    dead.events.labels("x").inc(5)
    dead.websocket_connections.set(3)
    witness.redis_up.set(1)
    forget_live(folder, 1)
    found = exposed(witness)
    assert (found["events_total", "x"], found["websocket_connections",]) == (5, 0)
    assert found["redis_up",] == 1
    successor = made(1, deaths=1)
    successor.events.labels("x").inc()
    found = exposed(witness)
    assert (found["events_total", "x"], found["worker_restarts_total",]) == (6, 1)
    assert len(list(folder.glob("counter_*.db"))) == 2


def test_views_of_themes_are_the_latest_and_those_without_a_label_a_sum(
    made: Callable[..., Metrics],
) -> None:
    for slot in range(2):
        metrics = made(slot)
        for number in range(110):
            metrics.count_theme_view(f"t{number}")
            metrics.set_theme_views(f"t{number}", 4 + slot)
    found = exposed(metrics)
    assert (found["cv_theme_views", "t5"], found["cv_theme_views", OTHER]) == (5, 20)
    assert sum(name == "cv_theme_views" for name, *_ in found) == 101


def test_labels_are_the_same_for_all_and_no_more_than_the_limit(folder: Path) -> None:
    file = folder / "some.labels"
    one, other = SharedLabel(file, 3), SharedLabel(file, 3)
    assert [one("a"), other("b"), one("c"), other("d")] == ["a", "b", "c", OTHER]
    assert [one("b"), other("a"), other("c"), one("d")] == ["b", "a", "c", OTHER]
    size = file.stat().st_size
    assert [SharedLabel(file, 3)(value) for value in "abcde"] == [*"abc", OTHER, OTHER]
    assert file.stat().st_size == size


def test_a_broken_line_costs_no_more_than_itself(folder: Path) -> None:
    file = folder / "some.labels"
    assert SharedLabel(file)("a") == "a"
    with file.open("ab") as broken:
        broken.write(b'"half')
    assert SharedLabel(file)("b") == OTHER  # it is glued to the broken one
    assert [SharedLabel(file)(value) for value in "abc"] == ["a", "b", "c"]


def test_the_ledger_adds_up_and_closes_what_a_dead_worker_had_under_way(
    made: Callable[..., Metrics],
) -> None:
    one = Ledger(made(0), SINCE)
    one.receive()
    one.receive()
    dead = Ledger(made(1), SINCE)
    for _ in range(3):
        dead.receive()
    dead.drop(DropReason.BOT)
    summary = one.summary()
    assert (summary["received"], summary["bot"], summary["pending"]) == (5, 1, 4)
    successor = Ledger(made(1), SINCE)
    successor.close_predecessor()
    summary = successor.summary()
    assert (summary["received"], summary["pending"]) == (5, 2)
    assert summary["refused_by_reason"]["worker_died"] == summary["refused"] == 2


# --- seats ---------------------------------------------------------------------------------------


def test_seats_are_counted_together_and_those_of_the_dead_come_back(folder: Path) -> None:
    one, other = (SharedSeats(3, Member(folder, slot, SINCE)) for slot in (0, 3))
    assert [one.take(), other.take(), other.take(), one.take(), other.take()] == [
        True,
        True,
        True,
        False,
        False,
    ]
    one.give_back()
    assert [other.take(), one.take()] == [True, False]
    clear_seats(folder, 3)
    assert [one.take() for _ in range(4)] == [True, True, True, False]


def test_never_more_seats_than_there_are_whoever_hurries(folder: Path) -> None:
    script = (
        "import sys, datetime as dt\n"
        "from pathlib import Path\n"
        "from maicivy.shared import Member, SharedSeats\n"
        "member = Member(Path(sys.argv[1]), int(sys.argv[2]), dt.datetime.now(dt.UTC))\n"
        "seats = SharedSeats(100, member)\n"
        "print(sum(seats.take() for _ in range(80)))\n"
    )
    taking = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(folder), str(slot)], stdout=subprocess.PIPE
        )
        for slot in range(3)
    ]
    assert sum(int(one.communicate()[0]) for one in taking) == 100


def test_a_stopped_holder_of_the_lock_holds_nobody_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "LOCK_TRIES", 3)
    one, other = (SharedSeats(3, Member(folder, slot, SINCE)) for slot in (0, 1))
    assert one._lock()
    started = time.monotonic()
    assert not other.take()
    assert time.monotonic() - started < 1


def test_folders_of_killed_programs_are_swept_up_and_those_in_use_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / f"{shared.PREFIX}left"
    left.mkdir()
    (left / shared.HELD).touch()
    with shared_folder(2) as one, shared_folder(2) as other:
        assert sorted(tmp_path.iterdir()) == sorted([one, other])
    assert list(tmp_path.iterdir()) == []


# --- shares ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "connections", "pool", "all_connections"),
    [(1, 20_000, 8, 64), (2, 10_000, 4, 70), (16, 1250, 4, 210), (64, 312, 4, 690)],
)
def test_what_is_meant_for_the_program_is_divided(
    count: int, connections: int, pool: int, all_connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maicivy.web.door.fitting_connections", lambda wanted: wanted)
    monkeypatch.setattr(serving, "SCAN_CONNECTIONS", 2)
    config = Config(workers=count)
    share = serving.fitting(config)
    assert (share.max_connections, share.database_pool_size) == (connections, pool)
    assert serving.database_connections(config) == all_connections


def test_elsewhere_than_on_linux_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with (
        pytest.raises(OperatorError, match="needs Linux"),
        serving.reserved_ports(Config(workers=2)),
    ):
        pass


# --- the parent -----------------------------------------------------------------------------------

# A worker that says that it is ready, and what it then does; its last argument is the pipe.
WORKER = (
    "import os, signal, sys, time; signal.pthread_sigmask(signal.SIG_SETMASK, ()); "
    "os.write(int(sys.argv[-1]), b'1'); "
)


def parent(folder: Path, script: str) -> Workers:
    command = [sys.executable, "-c", script]
    return Workers(2, command, dict(os.environ), folder, lambda: None)


def signalled_after(seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    return timer


def test_all_are_ready_before_it_is_said_and_gone_when_it_ends(folder: Path) -> None:
    watched = parent(folder, WORKER + "time.sleep(60)")
    ready: list[bool] = []
    timers: list[threading.Timer] = []

    def announce() -> None:
        ready.extend(slot.ready for slot in watched._slots)
        timers.append(signalled_after(0.1))

    assert watched.run(announce) == 0
    timers[0].join()
    assert ready == [True, True]
    assert [slot.process and slot.process.poll() for slot in watched._slots] == [-15, -15]


def test_one_that_cannot_start_ends_the_program_with_its_code(folder: Path) -> None:
    watched = parent(folder, "import sys; sys.exit(2)")
    assert watched.run(lambda: pytest.fail("it is not ready")) == 2
    assert watched._slots[1].process is None


def test_a_signal_while_they_start_is_obeyed(folder: Path) -> None:
    watched = parent(folder, WORKER.partition("os.write")[0] + "time.sleep(60)")
    timer = signalled_after(0.2)
    assert watched.run(lambda: pytest.fail("it is not ready")) == 0
    timer.join()


def test_one_that_dies_is_started_again_and_its_seats_come_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(workers, "WATCH_SECONDS", 0.02)
    seats = SharedSeats(9, Member(folder, 1, SINCE))
    log = folder / "log"
    # slot 1 dies the first time, after it was ready
    script = WORKER + (
        f"who = ''.join(sys.argv[3:5]); open({str(log)!r}, 'a').write(who + ' '); "
        "time.sleep(0.5 if who == '10' else 60)"
    )
    watched = parent(folder, script)

    def announce() -> None:
        assert seats.take()
        signalled_after(1.2)

    assert watched.run(announce) == 0
    assert log.read_text().split()[-1] == "11"
    assert sum(seats._taken) == 0


def test_pauses_grow_while_they_die_young(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    slot, pauses = Slot(0), []
    for _ in range(8):
        slot._started_at = now
        slot.bury()
        pauses.append(slot.due_at - now)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    slot._started_at = now - 11
    slot.bury()
    assert (slot.due_at, slot.uncounted_deaths) == (now, 9)
