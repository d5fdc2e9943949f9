from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from maicivy.embedded import launch


@pytest.fixture
def becomes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `main` did instead of really changing this process."""
    done: list[Any] = []
    for name in ("setgroups", "setgid", "setuid", "umask", "chdir"):
        monkeypatch.setattr(os, name, lambda value, name=name: done.append((name, value)))
    monkeypatch.setattr(os, "execv", lambda path, command: done.append((path, command)))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(signal, "pthread_sigmask", lambda *_: None)
    return done


def arguments(monkeypatch: pytest.MonkeyPatch, *values: object) -> None:
    monkeypatch.setattr("sys.argv", ["launch.py", *map(str, values), "/bin/server", "-x"])


def test_drops_privileges_before_asking_for_the_signal(
    monkeypatch: pytest.MonkeyPatch, becomes: list[Any]
) -> None:
    def prctl(option: int, value: int, *_: int) -> int:
        becomes.append(("prctl", (option, value)))
        return 0

    monkeypatch.setattr(launch, "_libc", lambda: SimpleNamespace(prctl=prctl))
    arguments(monkeypatch, os.getppid(), 2, 7, 8, -1, -1)
    launch.main()
    assert becomes == [
        ("umask", 0o077),
        ("setgroups", []),
        ("setgid", 8),
        ("setuid", 7),
        ("prctl", (launch.PR_SET_PDEATHSIG, 2)),
        ("/bin/server", ["/bin/server", "-x"]),
    ]


def test_stays_who_it_is_and_holds_the_folder(
    monkeypatch: pytest.MonkeyPatch, becomes: list[Any]
) -> None:
    monkeypatch.setattr(launch, "_libc", lambda: SimpleNamespace(prctl=lambda *_: 0))
    arguments(monkeypatch, os.getppid(), 2, -1, -1, -1, 63)
    launch.main()
    assert os.path.samestat(os.fstat(63), os.stat("."))  # noqa: PTH116
    os.close(63)
    assert [name for name, _ in becomes] == ["umask", "chdir", "/bin/server"]


def test_parent_that_is_gone(monkeypatch: pytest.MonkeyPatch, becomes: list[Any]) -> None:
    monkeypatch.setattr(launch, "_libc", lambda: SimpleNamespace(prctl=lambda *_: 0))
    arguments(monkeypatch, 1, 2, -1, -1, -1, -1)
    with pytest.raises(SystemExit, match="is gone"):
        launch.main()
    assert "/bin/server" not in dict(becomes)


def test_signal_that_is_refused(monkeypatch: pytest.MonkeyPatch, becomes: list[Any]) -> None:
    monkeypatch.setattr(launch, "_libc", lambda: SimpleNamespace(prctl=lambda *_: -1))
    arguments(monkeypatch, os.getppid(), 2, -1, -1, -1, -1)
    with pytest.raises(SystemExit, match="refused"):
        launch.main()
    assert "/bin/server" not in dict(becomes)


def test_watchdog_signals_when_the_pipe_closes() -> None:
    read_end, write_end = os.pipe()
    with subprocess.Popen(["/bin/sleep", "60"]) as server:
        # A zombie counts as alive here: somebody has to reap it.
        reaper = threading.Thread(target=server.wait)
        reaper.start()
        closer = threading.Timer(0.1, os.close, [write_end])
        closer.start()
        launch._watch(read_end, server.pid, signal.SIGTERM)
        reaper.join()
        closer.join()
        assert server.returncode == -signal.SIGTERM
    os.close(read_end)


def test_watchdog_leaves_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "POLL_SECONDS", 0.01)
    read_end, write_end = os.pipe()
    with subprocess.Popen(["/bin/true"]) as server:
        server.wait()
        before = time.monotonic()
        launch._watch(read_end, server.pid, signal.SIGTERM)
        assert time.monotonic() - before < 20
    os.close(read_end)
    os.close(write_end)
