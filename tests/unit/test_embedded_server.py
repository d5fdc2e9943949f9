from __future__ import annotations

import os
import pwd
import signal
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.embedded import files, folder, identity, lock, process, server
from maicivy.embedded.folder import DataFolder
from maicivy.embedded.identity import Identity
from maicivy.embedded.programs import Program
from maicivy.embedded.server import Server
from maicivy.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Sleeper(Server):
    """A server whose work is to sleep, for what only depends on its living and dying."""

    name = "sleeper"
    title = "Sleeper"
    stop_signal = signal.SIGTERM
    script = "exec sleep 60"

    @property
    def url(self) -> str:
        return "sleeper://"

    def command(self) -> Sequence[str]:
        return ["/bin/sh", "-c", self.script]

    def is_ready(self) -> bool:
        return self.is_running()

    def remove_stale_files(self) -> None:
        pass

    def reason(self, line: str) -> str | None:
        return line or None


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Sleeper]:
    data = DataFolder(tmp_path / "data")
    program = Program(Path("/bin/sh"), (1, 2), "1.2", "wheel", Path("/bin"), ())
    made = Sleeper(data, program, data.subfolder("sleeper"))
    yield made
    made.kill()
    server.stop_all([made])
    data.release()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_revival_backs_off(sleeper: Sleeper, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(server, "time", clock)
    sleeper.start()

    def waited_until_revived() -> float:
        assert sleeper._child
        sleeper._child.signal(signal.SIGKILL)
        assert process.wait_until(lambda: not sleeper.is_running(), 30)
        began = clock.now
        while not sleeper.revive():
            clock.now += 0.25
        return clock.now - began

    assert [waited_until_revived() for _ in range(9)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]
    clock.now += 61
    assert waited_until_revived() == 0
    assert sleeper.revive() is False


def test_one_that_does_not_listen_is_killed(
    sleeper: Sleeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STOP_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(Sleeper, "script", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    sleeper.start()
    assert process.wait_until(lambda: sleeper.log_path.read_text() == "ready\n", 30)
    server.stop_all([sleeper])
    assert process.wait_until(lambda: not sleeper.is_running(), 30)


def test_last_words(sleeper: Sleeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sleeper, "script", "echo no disk.; echo; exit 1")
    sleeper.start()
    assert process.wait_until(lambda: not sleeper.is_running(), 30)
    with pytest.raises(EmbeddedError) as refused:
        sleeper.check_start()
    log = sleeper.folder.path / "logs" / "sleeper.log"
    assert str(refused.value) == f"Sleeper stopped while starting: no disk; its log is {log}."
    monkeypatch.setattr(Sleeper, "script", "exit 1")
    sleeper.start()
    assert process.wait_until(lambda: not sleeper.is_running(), 30)
    with pytest.raises(EmbeddedError, match="it gave no reason"):
        sleeper.check_start()


def test_long_log_is_put_aside_at_start(sleeper: Sleeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "LOG_BYTES", 3)
    for text in (b"old1", b"old2"):
        descriptor = sleeper.folder.open_log("x.log")
        os.write(descriptor, text)
        os.close(descriptor)
    os.close(sleeper.folder.open_log("x.log"))
    assert sleeper.folder.log_path("x.log").read_bytes() == b""
    assert sleeper.folder.log_path("x.log.1").read_bytes() == b"old2"


class TestLock:
    def test_pid_of_a_dead_process_is_not_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.1)
        held = lock.take(tmp_path, None)
        os.ftruncate(held, 0)
        os.pwrite(held, b"4194305\n", 0)
        with pytest.raises(lock.FolderInUse, match="in use by another process; stop it"):
            lock.take(tmp_path, None)
        os.close(held)
        os.close(lock.take(tmp_path, None))

    def test_what_a_killed_program_leaves_behind_for_a_moment_is_waited_for(
        self, tmp_path: Path
    ) -> None:
        held = lock.take(tmp_path, None)
        os.ftruncate(held, 0)
        threading.Timer(0.2, os.close, [held]).start()
        os.close(lock.take(tmp_path, None))
        assert (tmp_path / lock.NAME).read_text() == f"{os.getpid()}\n"

    def test_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "target").touch()
        (tmp_path / lock.NAME).symlink_to("target")
        with pytest.raises(OSError, match="symbolic links"):
            lock.take(tmp_path, None)

    def test_file_system_without_locks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any) -> None:
            raise OSError(37, "No locks available")

        monkeypatch.setattr("fcntl.flock", refuse)
        with pytest.raises(EmbeddedError, match="has no locks"):
            lock.take(tmp_path, None)


class TestFolder:
    def test_no_place_for_sockets(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(folder, "SOCKET_PATH_BYTES", 10)
        with pytest.raises(EmbeddedError, match="can hold sockets"):
            DataFolder(tmp_path / "data")
        monkeypatch.undo()
        DataFolder(tmp_path / "data").release()

    def test_unintelligible_word_of_another_program(self, tmp_path: Path) -> None:
        for text in ("{", "[]", ""):
            (tmp_path / folder.SERVERS_FILE).write_text(text)
            assert folder.read_servers(tmp_path) == {}

    @pytest.mark.parametrize(
        ("number", "sentence"),
        [
            (28, "The disk that holds /data is full."),
            (30, "/data/x cannot be used (read-only file system); make /data writable"),
            (5, "/data/x cannot be used: Input/output error."),
        ],
    )
    def test_sentences(self, number: int, sentence: str) -> None:
        with (
            pytest.raises(EmbeddedError) as refused,
            files.explained(Path("/data")),
        ):
            raise OSError(number, os.strerror(number), "/data/x")
        assert str(refused.value).startswith(sentence)


class TestIdentity:
    @pytest.mark.parametrize(
        ("mode", "is_owner", "is_in_group", "enters"),
        [
            (0o700, False, False, False),
            (0o711, False, False, True),
            (0o750, False, True, True),
            (0o701, False, True, False),
            (0o077, True, False, False),
            (0o100, True, False, True),
        ],
    )
    def test_judges_by_mode(
        self, mode: int, *, is_owner: bool, is_in_group: bool, enters: bool
    ) -> None:
        with tempfile.TemporaryDirectory(dir="/tmp") as name:
            path = Path(name)
            status = path.stat()
            someone = Identity(status.st_uid + (not is_owner), status.st_gid + (not is_in_group))
            path.chmod(mode)
            assert someone.enters(path) is enters
            path.chmod(0o700)

    def test_judges_the_folders_above_too(self) -> None:
        with tempfile.TemporaryDirectory(dir="/tmp") as name:
            inner = Path(name) / "inner"
            inner.mkdir()
            inner.chmod(0o755)
            someone = Identity(os.getuid() + 1, os.getgid() + 1)
            assert not someone.enters(inner)
            Path(name).chmod(0o755)
            assert someone.enters(inner)

    def test_ordinary_user_stays(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert identity.choose(tmp_path) is None

    def test_root_takes_a_user_there_is(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(identity, "_owner", lambda _: None)
        monkeypatch.setattr(identity, "USERS", ("nobody that exists", "nobody"))
        nobody = pwd.getpwnam("nobody")
        assert identity.choose(tmp_path) == Identity(nobody.pw_uid, nobody.pw_gid)
        monkeypatch.setattr(identity, "USERS", ())
        with pytest.raises(EmbeddedError, match="does not run as root"):
            identity.choose(tmp_path)
