"""Answers of the open period to 50 connections, beside a bare handler, while events come in.

The bare handler is a process of its own that sends the same bytes under the same headers, with
nothing else around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import aiohttp
from aiohttp import web

from bench.figures import Figure
from bench.program import ROOT, Program, running
from maicivy import loop

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "/api/v1/analytics"
QUESTIONS = (f"{API}/realtime", f"{API}/stats?period=day")
CONNECTIONS = 50
SECONDS = 5
EVENTS_PER_SECOND = 2000
# In requests of ten: one by one they would keep the program busy, and not the reports.
BATCH = 10
INGEST_CONNECTIONS = 20
# While events come in: at the edge of what is possible a percentile says nothing.
READS_PER_SECOND = 500
HOP_HEADERS = {"Content-Length", "Date"}

# Pauses are random, or all connections would ask in the same moment.
# Each connection sends at the pace that makes the wanted number of events together, and each
# request comes from an address of its own.
EVENTS = """
local n = 0
function init(args) pause = tonumber(args[1]) end
function setup(thread) end
function delay() return math.random(0, 2 * pause) end
function request()
  n = n + 1
  local address = string.format("10.%d.%d.%d", n / 65536 % 256, n / 256 % 256, n % 256)
  local data = '{"x":' .. n % 1900 .. ',"y":7}'
  local event = '{"event_type":"button_click","page_url":"/cv","event_data":' .. data .. '}'
  return wrk.format("POST", "/api/v1/analytics/events",
    {["Content-Type"] = "application/json", ["X-Forwarded-For"] = address},
    '{"events":[' .. string.rep(event, BATCH, ",") .. ']}')
end
"""


@contextlib.contextmanager
def bare(headers: dict[str, str], body: bytes) -> Iterator[str]:
    """Serve one answer with a plain handler; yield where."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "body"
        file.write_bytes(body)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.reads", str(file), *lines],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        try:
            yield cast("IO[bytes]", process.stdout).readline().decode().strip()
        finally:
            process.terminate()
            process.wait(10)


async def serve_bare(body: bytes, lines: list[str]) -> None:
    """Be the bare handler."""
    headers = dict(line.split(": ", 1) for line in lines)

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def load(url: str, per_second: int = 0) -> tuple[float, float]:
    """Return requests a second and the 99th percentile in ms of 50 connections.

    They ask as fast as they can, or at a pace.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        pace = CONNECTIONS * 1000 // per_second if per_second else 0
        script.write(f"function delay() return math.random(0, {2 * pace}) end" if pace else "")
        script.flush()
        sizes = ["-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", "--latency"]
        return _measured(["wrk", *sizes, "-s", script.name, url])


def _measured(command: list[str]) -> tuple[float, float]:
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text:
        raise SystemExit(text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    if rate is None or p99 is None:
        raise SystemExit(text)
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]


@contextlib.contextmanager
def events(program: Program) -> Iterator[None]:
    """Have events come in meanwhile."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(EVENTS.replace("BATCH", str(BATCH)))
        script.flush()
        pause = INGEST_CONNECTIONS * BATCH * 1000 // EVENTS_PER_SECOND
        command = ["wrk", "-t1", f"-c{INGEST_CONNECTIONS}", "-d600", "-s", script.name]
        process = subprocess.Popen(
            [*command, program.url, "--", str(pause)], stdout=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)


SETTINGS = {"MAICIVY_TRUSTED_PROXIES": "127.0.0.0/8", "MAICIVY_EVENT_RATE_LIMIT": "0"}


async def ask(url: str) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of an answer."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        headers = {k: v for k, v in response.headers.items() if k not in HOP_HEADERS}
        return headers, await response.read()


async def stored(program: Program) -> int:
    """Return how many events there are."""
    url = f"{program.url}{API}/ledger"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return int((await response.json())["data"]["stored"])


async def measure(rounds: int) -> list[Figure]:
    """Measure each question, beside the bare handler and while events come in."""
    figures = []
    with running(SETTINGS) as program:
        for question in QUESTIONS:
            figures += await _one(program, question, rounds)
    return figures


async def _one(program: Program, question: str, rounds: int) -> list[Figure]:
    url = program.url + question
    ours, beside, busy, calm_p99, busy_p99, came = [], [], [], [], [], []
    with bare(*await ask(url)) as bare_url:
        for _ in range(rounds):
            beside.append((await asyncio.to_thread(load, bare_url + question))[0])
            rate, p99 = await asyncio.to_thread(load, url)
            ours.append(rate)
            calm_p99.append(p99)
            with events(program):
                before = await stored(program)
                rate, p99 = await asyncio.to_thread(load, url, READS_PER_SECOND)
                came.append((await stored(program) - before) / SECONDS)
            busy.append(rate)
            busy_p99.append(p99)
    name = question.removeprefix(API)
    base = ("a bare handler", tuple(beside))
    return [
        Figure(name, "requests/s", tuple(ours), *base, promise="at least 0.7"),
        Figure(f"{name}, p99", "ms", tuple(calm_p99)),
        Figure(f"{name} while events come in", "requests/s", tuple(busy)),
        Figure(f"{name} while events come in, p99", "ms", tuple(busy_p99), promise="under 10 ms"),
        Figure(f"{name}: events that came in", "events/s", tuple(came)),
    ]


if __name__ == "__main__":
    loop.run(serve_bare(Path(sys.argv[1]).read_bytes(), sys.argv[2:]))
