"""Events in: `POST /event` with everything on, and `POST /events`, beside what bounds them.

Each round measures the program and its baselines one after the other on the same machine.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
from collections import defaultdict
from typing import TYPE_CHECKING

from bench import wrk
from bench.figures import Figure
from bench.program import ROOT, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.wrk import Load

SECONDS = 6.0
WARM_UP_SECONDS = 10.0
CONNECTIONS = (64, 256)
BATCH = 100


@contextlib.contextmanager
def baseline(kind: str) -> Iterator[str]:
    """Start one of the baselines; yields its address."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.baseline", kind, str(port), folder],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            if b"ready" not in process.stdout.readline():
                raise SystemExit(f"the baseline {kind} does not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


class _Rounds:
    """The loads of all rounds, by what was measured."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, int], list[Load]] = defaultdict(list)
        self._seed = 0

    def post(self, name: str, url: str, connections: int, batch: int = 0) -> None:
        """Measure once."""
        self._seed += 1
        load = wrk.post(url, connections=connections, seconds=SECONDS, seed=self._seed, batch=batch)
        if load.refused:
            raise SystemExit(f"{name}: {load.refused} of the answers were no success")
        self.seen[name, connections].append(load)

    def rates(self, name: str, connections: int, times: int = 1) -> tuple[float, ...]:
        """Return requests a second, or events of so many `times` each."""
        return tuple(load.rate * times for load in self.seen[name, connections])

    def p99s(self, name: str, connections: int) -> tuple[float, ...]:
        """Return the 99th percentiles in milliseconds."""
        return tuple(load.p99 for load in self.seen[name, connections])


async def measure(rounds: int) -> list[Figure]:
    """Measure single events at 64 and 256 connections, and batches of 100."""
    done = _Rounds()
    with (
        baseline("bare") as bare,
        baseline("single") as single,
        running(wrk.settings()) as program,
        running(wrk.settings(MAICIVY_EVENT_RATE_LIMIT="100000")) as batches,
    ):
        wrk.post(program.url, connections=64, seconds=WARM_UP_SECONDS, seed=1)
        for _ in range(rounds):
            for connections in CONNECTIONS:
                done.post("bare", bare, connections)
                done.post("maicivy", program.url, connections)
                done.post("single", single, connections)
            done.post("batches", batches.url, 8, BATCH)
    return [*_single_events(done), *_batches(done)]


async def measure_workers(rounds: int) -> list[Figure]:
    """Measure two workers beside one."""
    done = _Rounds()
    with (
        running(wrk.settings()) as one,
        running(wrk.settings(), workers=2) as two,
    ):
        for url in (one.url, two.url):
            wrk.post(url, connections=64, seconds=WARM_UP_SECONDS, seed=1)
        for _ in range(rounds):
            for connections in CONNECTIONS:
                done.post("one", one.url, connections)
                done.post("two", two.url, connections)
    return [
        Figure(
            f"`POST /event`, two workers, {connections} connections",
            "events/s",
            done.rates("two", connections),
            "one worker",
            done.rates("one", connections),
            "at least 1.35",
        )
        for connections in CONNECTIONS
    ]


def _single_events(done: _Rounds) -> list[Figure]:
    figures = []
    for connections in CONNECTIONS:
        name = f"`POST /event`, {connections} connections"
        for base, shown, promise in (
            ("bare", "bare handler", "at least 0.45"),
            ("single", "one transaction each", "at least 7"),
        ):
            figures.append(
                Figure(
                    name,
                    "events/s",
                    done.rates("maicivy", connections),
                    shown,
                    done.rates(base, connections),
                    promise,
                )
            )
    figures.append(
        Figure(
            "`POST /event`, 64 connections, p99",
            "ms",
            done.p99s("maicivy", 64),
            "one transaction each",
            done.p99s("single", 64),
            "at most 0.25",
        )
    )
    return figures


def _batches(done: _Rounds) -> list[Figure]:
    rates = done.rates("batches", 8, BATCH)
    name = f"`POST /events` of {BATCH}, 8 connections"
    return [Figure(name, "events/s", rates, promise="at least 30,000")]
