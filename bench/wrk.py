"""Load by `wrk` (a package of Debian): many clients behind a trusted proxy, varied bodies."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from maicivy.ingest.visitor import TOKEN_ID_BYTES, Keyring, Token

SCRIPT = Path(__file__).with_name("load.lua")
SECRET = "the secret of a measurement"
COOKIES = 8_000
# So few that each of them sends about eight events in a measured round, as a visit does.
CLIENTS = 4_000
PACED_CONNECTIONS = 200
PACED_ANSWER_MILLISECONDS = 8  # about what an answer takes; then comes the pause


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw: answers a second, milliseconds, and answers that were not 2xx."""

    rate: float
    p50: float
    p99: float
    refused: int


def settings(**others: str) -> dict[str, str]:
    """Return the settings under which the program takes the load for that of many clients."""
    return {"MAICIVY_TRUSTED_PROXIES": "127.0.0.0/8", "MAICIVY_SECRET_KEY": SECRET} | others


def cookies(seed: int = 1) -> Path:
    """Return a file with good cookies, one a line."""
    keyring, made, now = Keyring(SECRET), random.Random(seed), int(time.time())
    file = Path(tempfile.gettempdir()) / f"maicivy-bench-cookies-{now}"
    tokens = (Token(made.randbytes(TOKEN_ID_BYTES), now - 60) for _ in range(COOKIES))
    file.write_text("".join(f"{keyring.cookie(token)}\n" for token in tokens))
    return file


def post(
    url: str, *, connections: int, seconds: float, seed: int, batch: int = 0, clients: int = CLIENTS
) -> Load:
    """Send events for `seconds`: one in each request, or `batch`."""
    file = cookies(seed)
    try:
        return _run(
            url,
            connections,
            seconds,
            "-s",
            str(SCRIPT),
            "--",
            str(seed),
            str(batch),
            str(file),
            str(clients),
        )
    finally:
        file.unlink()


def post_paced(url: str, *, rate: int, seconds: float, seed: int) -> Load:
    """Send about `rate` events a second for `seconds`, one in each request."""
    pause = 1000 * PACED_CONNECTIONS / rate - PACED_ANSWER_MILLISECONDS
    file, script = cookies(seed), str(SCRIPT.with_name("paced.lua"))
    arguments = (str(seed), "0", str(file), f"{pause:.0f}")
    try:
        return _run(url, PACED_CONNECTIONS, seconds, "-s", script, "--", *arguments)
    finally:
        file.unlink()


def get(url: str, *, connections: int, seconds: float) -> Load:
    """Ask for `url` for `seconds`."""
    return _run(url, connections, seconds, "-s", str(SCRIPT.with_name("get.lua")))


def _run(url: str, connections: int, seconds: float, *script: str) -> Load:
    command = shutil.which("wrk")
    if command is None:
        raise SystemExit("bench needs wrk, a package of Debian: apt-get install wrk")
    options, arguments = script[:2], script[2:]
    done = subprocess.run(
        [command, "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "10s",
         *options, url, *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    [line] = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    seen = json.loads(line.removeprefix("RESULT "))
    if seen["errors"]:
        raise SystemExit(f"wrk could not talk to the program: {done.stdout}")
    return Load(
        rate=seen["requests"] / seen["microseconds"] * 1e6,
        p50=seen["p50"] / 1000,
        p99=seen["p99"] / 1000,
        refused=seen["refused"],
    )
