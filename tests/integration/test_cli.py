"""The command line, as a process: commands beside a running server, mistakes, Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from maicivy import embedded
from maicivy.config import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "run.py", *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def environment(**settings: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAICIVY_", "COV_"))}
    return kept | {"PYTHONWARNINGS": "error"} | settings


class Server:
    """`run.py` on a free port and a data folder of its own."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        mine = {"MAICIVY_DATA_DIR": str(data_dir), "MAICIVY_PORT": str(self.port)}
        self.settings = mine | settings
        self.log = data_dir.with_suffix(".log")
        self.start()

    def start(self) -> None:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, ROOT / "run.py"], env=environment(**self.settings), stderr=log
            )
        deadline = time.monotonic() + 60
        while "maicivy is ready" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def post(self) -> int:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/analytics/event",
            data=b'{"event_type":"x"}',
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("cli") / "my data")
    yield server
    if server.process.poll() is None:
        server.stop()


def test_commands_beside_a_running_server(server: Server) -> None:
    assert server.post() == 201
    for command, says in (
        ("migrate", "up to date"),
        ("verify", "Redis and PostgreSQL agree."),
        ("cleanup", "Removed 0 partitions"),
        ("rebuild", "Redis was filled"),
        ("verify", "Redis and PostgreSQL agree."),
    ):
        result = run(command, **server.settings)
        assert (result.returncode, result.stderr.count("Traceback")) == (0, 0), result.stderr
        assert says in result.stdout
    assert server.post() == 201


def test_a_second_server_on_the_same_folder_says_who_holds_it(server: Server) -> None:
    result = run("serve", **server.settings)
    assert result.returncode == 2
    assert server.settings["MAICIVY_DATA_DIR"] in result.stderr
    assert str(server.process.pid) in result.stderr
    assert "Traceback" not in result.stderr


def test_a_port_that_is_taken(server: Server, tmp_path: Path) -> None:
    settings = server.settings | {"MAICIVY_DATA_DIR": str(tmp_path)}
    result = run(**settings)
    assert result.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{server.port}" in result.stderr
    assert "Traceback" not in result.stderr


def test_differences_are_printed_and_exit_with_one(server: Server) -> None:
    attached = embedded.attach_or_start(Path(server.settings["MAICIVY_DATA_DIR"]))
    with attached as servers, redis.Redis.from_url(servers.redis_url or "") as client:
        client.zadd("analytics:themes:top", {"invented": 7})
        result = run("verify", **server.settings)
        client.zrem("analytics:themes:top", "invented")
    assert result.returncode == 1
    assert "analytics:themes:top[invented]: Redis 7, PostgreSQL has none" in result.stdout
    assert "comparing" in result.stderr  # it took over 2 s, so it showed progress


def test_ctrl_c_stops_everything_and_what_was_stored_is_there_again(server: Server) -> None:
    assert server.stop() == 0
    data_dir = server.settings["MAICIVY_DATA_DIR"]
    processes = subprocess.run(
        ["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True
    )
    assert data_dir not in processes.stdout
    assert "Traceback" not in server.log.read_text()
    result = run("verify", **server.settings)
    assert result.returncode == 0, result.stdout
    server.start()
    assert server.post() == 201


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"MAICIVY_PORT": "http"}, "MAICIVY_PORT must be a whole number from 1 to 65535"),
        ({"MAICIVY_TIMEZONE": "Paris"}, "MAICIVY_TIMEZONE must be an IANA time zone"),
        ({"MAICIVY_DATA_DIR": "/dev/null/x"}, "/dev/null is not a folder"),
        ({"REDIS_URL": "redis://127.0.0.1:x", "DATABASE_URL": "postgresql://u@h/d"}, "REDIS_URL"),
        ({"DATABASE_URL": "postgresql://:x", "REDIS_URL": "redis://127.0.0.1"}, "DATABASE_URL"),
    ],
)
def test_mistakes_are_a_sentence_and_exit_with_two(settings: dict[str, str], says: str) -> None:
    result = run(**settings)
    assert result.returncode == 2, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("maicivy: ")
    assert says in last
    assert "Traceback" not in result.stderr


def test_help_and_version() -> None:
    result = run("--help")
    assert result.returncode == 0
    for setting in SETTINGS:
        assert setting.variable in result.stdout
    for command in (
        "serve", "migrate", "cleanup", "verify", "rebuild", "share", "token", "version",
    ):  # fmt: skip
        assert command in result.stdout
    assert "maicivy 0." in run("version").stdout
    assert run("fly").returncode == 2


def test_a_mistyped_setting_is_noticed() -> None:
    result = run("version", MAICIVY_PROT="1")
    assert result.returncode == 0
    assert "MAICIVY_PROT" in result.stderr
