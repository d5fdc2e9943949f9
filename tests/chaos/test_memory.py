"""Strangers make things up: paths, types, themes, referrers, cookies, addresses. Memory is bounded.

The real program is flooded over HTTP, first with a part of everything so that each of its bounded
caches is as full as it gets, then with many times that.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from maicivy import embedded
from maicivy.ingest.visitor import COOKIE_NAME
from maicivy.storage import keys
from tests.chaos.length import short_or_full
from tests.contract.test_hostile import EVENT, EVENT_PATH
from tests.integration.test_cli import Server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

INVENTED = short_or_full(1_000, 10_000)
FORGED = short_or_full(5_000, 100_000)
CLIENTS = 20_000
CONNECTIONS = 64

# Of closed lists most: each statement of PostgreSQL and each route has a histogram.
MAX_SERIES = 1_500
# Of each open day, week and month: a few counters and a sketch; and what is there once.
MAX_KEYS = 60
# The rate limit keeps every event of the last minute, so a faster machine uses more of this.
MAX_REDIS_BYTES = 64 * 1024 * 1024
MAX_GROWTH_BYTES = 20 * 1024 * 1024
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def request(body: bytes, headers: bytes) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST " + EVENT_PATH + b" HTTP/1.1\r\nHost: h\r\n" + length + headers + b"\r\n" + body


def invented(number: int, dice: random.Random) -> Iterator[bytes]:
    """Yield events that share nothing: type, path, theme, referrer, User-Agent."""
    for _ in range(number):
        word = f"{dice.getrandbits(64):x}"
        agent = f"User-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/{word}\r\n".encode()
        referrer = f'"referrer":"https://{word}.example/"'
        for body in (
            f'{{"event_type":"t{word}","page_url":"/{word}",{referrer}}}',
            f'{{"event_type":"page_view","page_url":"/{word}?theme={word}",{referrer}}}',
            f'{{"event_type":"cv_theme_change","event_data":{{"theme":"v{word}"}}}}',
        ):
            yield request(body.encode(), agent)


def forged(number: int, dice: random.Random) -> Iterator[bytes]:
    """Yield events with cookies that nobody issued, from many addresses, as browsers send them."""
    for _ in range(number):
        cookie = base64.urlsafe_b64encode(dice.randbytes(36)).decode()
        address = f"10.{dice.randrange(CLIENTS) >> 8}.{dice.getrandbits(8)}.7"
        headers = f"Cookie: {COOKIE_NAME}={cookie}\r\nX-Forwarded-For: {address}\r\n"
        yield request(EVENT, headers.encode() + b"Sec-Fetch-Site: same-origin\r\n")


async def flood(server: Server, requests: Iterable[bytes]) -> int:
    """Send all `requests` over a few connections and return how many were stored."""
    waiting = iter(requests)
    stored = 0

    async def send() -> None:
        nonlocal stored
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for one in waiting:
            writer.write(one)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            await reader.readexactly(length)
            stored += head.startswith(b"HTTP/1.1 201 ")
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
    return stored


def resident_bytes(server: Server) -> int:
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * PAGE_BYTES


def series(server: Server) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(not line.startswith("#") for line in lines)


@pytest.mark.timeout(900)  # the whole of it takes five minutes
async def test_what_strangers_make_up_is_forgotten(tmp_path: Path) -> None:
    server = Server(
        tmp_path / "data",
        MAICIVY_TRUSTED_PROXIES="127.0.0.1",
        MAICIVY_EVENT_RATE_LIMIT="1000000",
    )
    dice = random.Random(1)
    try:
        for part in (invented(INVENTED // 5, dice), forged(FORGED // 4, dice)):
            assert await flood(server, part) > 0
        baseline = resident_bytes(server)
        assert await flood(server, invented(INVENTED, dice)) == 3 * INVENTED
        assert await flood(server, forged(FORGED, dice)) == FORGED
        grown = resident_bytes(server) - baseline
        with (
            embedded.attach_or_start(Path(server.settings["MAICIVY_DATA_DIR"])) as servers,
            redis.Redis.from_url(servers.redis_url or "", decode_responses=True) as client,
        ):
            names = [str(name) for name in client.scan_iter(count=1000)]
            lasting = [name for name in names if not name.startswith(keys.RATE_LIMIT)]
            used = int(client.info("memory")["used_memory"])
            themes = client.zcard(keys.THEMES)
        counted = series(server)
        sys.stdout.write(
            f"series {counted}, Redis {len(lasting)} keys and {len(names) - len(lasting)} of the "
            f"rate limit, {used / 1e6:.1f} MB, {themes} themes; "
            f"resident {baseline / 1e6:.1f} MB and {grown / 1e6:+.1f} MB\n"
        )
        assert counted < MAX_SERIES
        assert len(lasting) <= MAX_KEYS
        assert len(names) - len(lasting) <= CLIENTS * 2
        assert themes <= keys.MAX_THEMES
        assert used < MAX_REDIS_BYTES
        assert grown < MAX_GROWTH_BYTES
    finally:
        assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()
