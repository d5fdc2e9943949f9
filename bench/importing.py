"""A month's combined log of a busy site, imported by the real program: lines a second, durable.

Two thirds of the lines are parts of pages, a fifth are pages that people saw, the others are
crawlers, probes, redirects and the site's own API. Addresses come again on the same day, and
User-Agents are those of a few thousand browsers.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import Figure
from bench.program import ROOT
from maicivy.history.demo_site import AGENTS, PAGES, SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator

DAYS = 30
MEGABYTES = int(os.environ.get("BENCH_LOG_MEGABYTES", "200"))
BOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "curl/8.5.0", "Go-http-client/1.1", "python-requests/2.32.3", "-",
)  # fmt: skip
PARTS = (
    "/assets/site.css", "/assets/app.js", "/assets/logo.svg", "/fonts/text.woff2",
    "/pictures/me.webp", "/favicon.ico", "/pictures/atlas-{}.png", "/assets/chunk-{}.js",
)  # fmt: skip
PROBES = ("/wp-login.php", "/.env", "/admin", "/phpmyadmin/index.php", "/.git/config")


def lines(seed: int) -> Iterator[bytes]:
    """Yield lines without end, each later than the one before by the pace of `MEGABYTES`."""
    chance = random.Random(seed)
    agents = [
        re.sub(r"(\d+)\.0\.0\.0", f"{build}.0.{build * 7}.{build}", agent.user_agent)
        for agent in AGENTS
        for build in range(90, 144)
    ]
    referrers = [source.referrer or "-" for source in SOURCES]
    pages, gap = list(PAGES), DAYS * 86_400 / (MEGABYTES * 4700)
    now = time.time() - DAYS * 86_400 + 600
    people = [_person(chance, agents) for _ in range(200)]
    while True:
        now += chance.expovariate(1 / gap)
        if chance.random() < 0.06:
            people[chance.randrange(len(people))] = _person(chance, agents)
        address, agent = chance.choice(people)
        kind, method, status, referrer = chance.random(), "GET", 200, "https://example.org/cv"
        if kind < 0.21:
            target, referrer = chance.choice(pages), chance.choice(referrers)
            if chance.random() < 0.1:
                target += (
                    f"?utm_source=mail&utm_campaign=c{chance.randrange(500)}&id={chance.random()}"
                )
        elif kind < 0.83:
            target, status = (
                chance.choice(PARTS).format(chance.randrange(300)),
                304 if kind > 0.7 else 200,
            )
        elif kind < 0.87:
            target, method = "/api/v1/items", chance.choice(("GET", "POST"))
        elif kind < 0.90:
            target, status, referrer = chance.choice(PROBES), 404, "-"
        elif kind < 0.92:
            target, status = "/blog", 301
        else:
            target, agent, referrer = chance.choice(pages), chance.choice(BOTS), "-"
        at = dt.datetime.fromtimestamp(now, dt.UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
        size = chance.randrange(200, 60_000)
        yield (
            f'{address} - - [{at}] "{method} {target} HTTP/1.1" {status} {size} '
            f'"{referrer}" "{agent}"\n'
        ).encode()


def _person(chance: random.Random, agents: list[str]) -> tuple[str, str]:
    address = ".".join(str(chance.randrange(1, 255)) for _ in range(4))
    return address, chance.choice(agents)


def write_log(file: Path, megabytes: int) -> int:
    """Write a log of so many megabytes; return its number of lines."""
    count = size = 0
    with file.open("wb") as log:
        for line in lines(1):
            size += log.write(line)
            count += 1
            if size >= megabytes * 1_000_000:
                return count
    return count


@contextlib.contextmanager
def imported(log: Path) -> Iterator[tuple[float, str]]:
    """Import a log into a new data folder; lend the seconds of the reading, and what was said."""
    with tempfile.TemporaryDirectory() as folder:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MAICIVY_")}
        done = subprocess.run(
            [sys.executable, ROOT / "run.py", "import", log],
            env=kept | {"MAICIVY_DATA_DIR": f"{folder}/data"},
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        yield float(re.findall(r"in ([\d.]+) s", done.stdout)[0]), done.stdout


async def measure(rounds: int) -> list[Figure]:
    """Import the same log so many times, plain and compressed in turn."""
    rates: dict[str, list[float]] = {"plain": [], "gzip": []}
    whole = []
    with tempfile.TemporaryDirectory() as folder:
        plain, zipped = Path(folder) / "access.log", Path(folder) / "access.log.gz"
        count = write_log(plain, MEGABYTES)
        with gzip.open(zipped, "wb", compresslevel=6) as target:
            target.write(plain.read_bytes())
        for _ in range(rounds):
            for name, log in (("plain", plain), ("gzip", zipped)):
                began = time.perf_counter()
                with imported(log) as (seconds, _):
                    rates[name].append(count / seconds)
                    if name == "plain":
                        whole.append(time.perf_counter() - began)
    size = f"a log of {MEGABYTES} MB"
    return [
        Figure(f"{size}, plain", "lines/s", tuple(rates["plain"]), promise="at least 20,000"),
        Figure(f"{size}, gzip", "lines/s", tuple(rates["gzip"]), promise="at least 20,000"),
        Figure("the same with start, nightly work and stop", "s", tuple(whole)),
    ]
