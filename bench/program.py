"""The real program as a process of its own, on a data folder that is thrown away."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")


class Program:
    """A running `run.py`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.log = log
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def cpu_seconds(self) -> float:
        """Return the CPU time that the program and its workers have used, not its servers."""
        return sum(map(_cpu_seconds, [self.process.pid, *self.workers()]))

    def workers(self) -> list[int]:
        """Return the processes that serve beside each other, none if the program does alone."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [
            int(pid)
            for pid in children.split()
            if b"\0worker\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.contextmanager
def running(settings: dict[str, str] | None = None, *, workers: int = 1) -> Iterator[Program]:
    """Start the program with embedded servers, wait until it is ready, stop it afterwards."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        log = Path(folder) / "log"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MAICIVY_")}
        mine = {
            "MAICIVY_DATA_DIR": f"{folder}/data",
            "MAICIVY_PORT": str(port),
            "MAICIVY_WORKERS": str(workers),
        }
        with log.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, ROOT / "run.py"], env=kept | mine | (settings or {}), stderr=stream
            )
        try:
            while "maicivy is ready" not in log.read_text():
                if process.poll() is not None:
                    raise SystemExit(log.read_text())
                time.sleep(0.05)
            yield Program(process, port, log)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)
