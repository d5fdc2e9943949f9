from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from maicivy.embedded import process
from maicivy.embedded.process import wait_until
from maicivy.errors import EmbeddedError

LAUNCH = [sys.executable, "-I", "-S", str(process.LAUNCHER)]


def run(command: list[str], folder: Path, **options: Any) -> tuple[int, str]:
    with tempfile.TemporaryFile() as output:
        child = process.spawn(
            command,
            folder=folder,
            output=output.fileno(),
            death_signal=signal.SIGTERM,
            identity=None,
            **options,
        )
        code = child.exit_code()
        output.seek(0)
        return code, output.read().decode()


def test_environment_holds_nothing_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PGDATA", "PGHOST", "DATABASE_URL", "MAICIVY_SECRET_KEY", "PYTHONPATH"):
        monkeypatch.setenv(name, "mine")
    code, output = run(["/usr/bin/env"], tmp_path)
    assert code == 0
    assert "mine" not in output
    assert "LC_ALL=C.UTF-8" in output.splitlines()


def test_command_works_in_its_folder(tmp_path: Path) -> None:
    assert run(["/bin/pwd", "-P"], tmp_path) == (0, f"{tmp_path.resolve()}\n")


def test_files_are_private(tmp_path: Path) -> None:
    run(["/usr/bin/touch", "new"], tmp_path)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_held_folder_is_open_and_not_worked_in(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    script = "pwd; ls /proc/self/fd/63/"
    assert run(["/bin/sh", "-c", script], tmp_path, held=63) == (0, "/\nhere\n")


def test_missing_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"cannot be started in .*No such file"):
        run(["/bin/true"], tmp_path / "missing")


def test_missing_command_is_explained(tmp_path: Path) -> None:
    code, output = run([str(tmp_path / "missing")], tmp_path)
    assert code == 1
    assert output == f"FATAL:  {tmp_path / 'missing'} cannot be run: No such file or directory\n"


def test_launcher_leaves_when_the_program_is_gone_already() -> None:
    done = subprocess.run(
        [*LAUNCH, "1", "15", "-1", "-1", "-1", "-1", "/bin/echo", "started"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "is gone" in done.stderr


def test_launcher_undoes_an_ignored_signal(tmp_path: Path) -> None:
    # A shell lets what it starts in the background ignore SIGINT.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        child = process.spawn(
            ["/bin/sleep", "60"],
            folder=tmp_path,
            output=subprocess.DEVNULL,
            death_signal=signal.SIGTERM,
            identity=None,
        )
        assert wait_until(lambda: process.command_line(child.pid) == "/bin/sleep 60", 30)
        child.signal(signal.SIGTERM)
        assert child.exit_code() == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)


def test_watchdog_leaves_with_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "DEATH_BY_PIPE", True)
    assert run(["/bin/true"], tmp_path)[0] == 0
    folder = str(tmp_path.resolve())

    def watchdogs() -> list[Path]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if str(entry.readlink()) == folder:
                    found.append(entry)
            except OSError:
                continue
        return found

    assert wait_until(lambda: not watchdogs(), 30)


def test_processes_are_told_by_folder_and_name(tmp_path: Path) -> None:
    (tmp_path / "postgres").symlink_to("/bin/sleep")
    with (
        subprocess.Popen([tmp_path / "postgres", "60"], cwd=tmp_path) as server,
        subprocess.Popen(["/bin/sleep", "60"], cwd=tmp_path) as visitor,
        subprocess.Popen([tmp_path / "postgres", "60"], cwd="/") as other,
    ):
        try:
            moved = tmp_path.with_name("moved")
            tmp_path.rename(moved)
            assert process.processes_in(moved) == {server.pid: os.getpid()}
            server.kill()
            assert wait_until(lambda: not process.processes_in(moved), 30), "a zombie counts"
            assert process.is_alive(server.pid)
        finally:
            for child in (server, visitor, other):
                child.kill()


def test_processes_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PROC", tmp_path / "no proc")
    marker = str(tmp_path / "data")
    with subprocess.Popen(
        [sys.executable, "-c", "input()", marker], stdin=subprocess.PIPE
    ) as child:
        assert process.processes_in(Path(marker)) == {child.pid: os.getpid()}
        assert marker in process.command_line(child.pid) or "…" in process.command_line(child.pid)
        assert process.kill_all_in(Path(marker))
    assert process.processes_in(Path(marker)) == {}


def test_orphan_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "ORPHAN_PATIENCE_SECONDS", 1)
    (tmp_path / "redis-server").symlink_to(sys.executable)
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "open('ready', 'w'); time.sleep(60)"
    )
    with subprocess.Popen([tmp_path / "redis-server", "-c", script], cwd=tmp_path) as orphan:
        assert wait_until((tmp_path / "ready").exists, 30)
        process.expel_from(tmp_path, signal.SIGTERM)
        assert orphan.wait(30) == -signal.SIGKILL


def test_command_line_is_short_and_may_be_unknown() -> None:
    assert process.command_line(os.getpid())
    assert len(process.command_line(os.getpid())) <= 80
    assert process.command_line(2**22 + 1) == ""
