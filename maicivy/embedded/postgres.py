"""PostgreSQL: how its data come to be, how it is configured, when it is ready."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import tempfile
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from maicivy.embedded import process
from maicivy.embedded.files import explained, sync
from maicivy.embedded.programs import find_postgres
from maicivy.embedded.server import Server
from maicivy.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from maicivy.embedded.folder import DataFolder

NAME = "maicivy"
PORT = 5432
PARTIAL = ".partial-"
CREATION_PATIENCE_SECONDS = 120.0
BUILTIN_LOCALES_SINCE = 17

CONNECTIONS = 60

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    # What was acknowledged is on disk.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # Compiling a query of a few milliseconds takes longer than running it.
    "jit": "off",
    # Containers give 64 MB of /dev/shm, which parallel queries outgrow.
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_logical_replication_workers": "0",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_checkpoints": "off",
    "log_autovacuum_min_duration": "-1",
    # No value that a visitor sent may reach a log. The text of an ERROR quotes values ("invalid
    # input syntax for type integer: …") and so do DETAIL and CONTEXT. LOG, FATAL and PANIC, the
    # server's own affairs, come after ERROR in this order; the program logs each SQLSTATE.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


class Postgres(Server):
    """The PostgreSQL of a data folder, in `pg<major version>` there."""

    name = "postgres"
    title = "PostgreSQL"
    # A fast shutdown; SIGTERM would wait for clients to leave.
    stop_signal = signal.SIGINT
    connections = CONNECTIONS

    @classmethod
    def prepare(cls, folder: DataFolder) -> Postgres:
        """Choose the binary and create the data if there are none; raises `EmbeddedError`."""
        program = find_postgres(_existing_majors(folder.path), folder.path)
        home = folder.path / f"pg{program.major}"
        _discard_partial(folder.path)
        server = cls(folder, program.reachable_for(folder), home)
        if not _has_data(home, program.major):
            server.create_data()
        return server

    @property
    def url(self) -> str:
        """Where clients find it. The port is named or PGPORT would be believed."""
        host = quote(str(self.folder.sockets), safe="")
        return f"postgresql://{NAME}@/{NAME}?host={host}&port={PORT}"

    def command(self) -> Sequence[str]:
        """Return the server itself, not pg_ctl, which would stand between it and our death."""
        quoted = str(self.folder.sockets).replace('"', '""')
        settings = {
            **SETTINGS,
            "unix_socket_directories": f'"{quoted}"',
            "max_connections": str(self.connections),
        }
        options = [part for name in settings for part in ("-c", f"{name}={settings[name]}")]
        return [
            str(self.program.binary),
            "-D",
            str(self.folder.path_for_servers(self.home)),
            *options,
        ]

    def is_ready(self) -> bool:
        """Tell by the status that the server writes into its pid file, as pg_ctl does."""
        lines = self._pid_file_lines()
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def remove_stale_files(self) -> None:
        """Remove the pid file and the sockets, which keep PostgreSQL from starting.

        It would believe that an old pid is alive when another program has been given it.
        """
        socket = self.folder.sockets / f".s.PGSQL.{PORT}"
        for path in (self.home / "postmaster.pid", socket, socket.with_name(f"{socket.name}.lock")):
            with explained(path):
                path.unlink(missing_ok=True)

    def reason(self, line: str) -> str | None:
        """Return what stands behind FATAL or PANIC."""
        match = re.search(r"(?:FATAL|PANIC): +(.*)", line)
        return match[1] if match else None

    def create_data(self) -> None:
        """Make the data in a folder beside, make them durable, then rename: all or nothing."""
        partial = self.folder.fresh_subfolder(f"{self.home.name}{PARTIAL}")
        initdb = str(self.program.binary.with_name("initdb"))
        data = str(self.folder.path_for_servers(partial))
        try:
            self._run(partial, [initdb, "-D", data, *self._initdb_options()])
            # -F and --no-sync: the last step makes everything durable at once.
            single = [str(self.program.binary), "--single", "-D", data, "-F", "template1"]
            self._run(partial, single, f"CREATE DATABASE {NAME}\n")
            self._run(partial, [initdb, "-D", data, "--sync-only"])
        except EmbeddedError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        with explained(self.home):
            partial.rename(self.home)
            sync(self.folder.path)

    def _initdb_options(self) -> list[str]:
        # PostgreSQL's own locale does not change its order when the system's libraries do.
        locale = (
            ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            if self.program.major >= BUILTIN_LOCALES_SINCE
            else ["--locale=C.UTF-8"]
        )
        access = ["--auth-local=trust", "--auth-host=reject"]
        return [f"--username={NAME}", "--encoding=UTF8", "--data-checksums", "--no-sync"] + (
            locale + access
        )

    def _run(self, partial: Path, command: list[str], text: str = "") -> None:
        """Run one step of creating the data to its end."""
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as feed:
            feed.write(text.encode())
            feed.seek(0)
            child = process.spawn(
                command,
                folder=partial,
                held=self.folder.held,
                output=output.fileno(),
                source=feed.fileno(),
                death_signal=signal.SIGTERM,
                identity=self.folder.identity,
            )
            done = process.wait_until(lambda: not child.is_running(), CREATION_PATIENCE_SECONDS)
            if not done:
                child.signal(signal.SIGKILL)
                process.kill_all_in(partial)
                child.exit_code()
                raise EmbeddedError(
                    f"PostgreSQL could not create its data in {self.home} within "
                    f"{CREATION_PATIENCE_SECONDS:.0f} s."
                )
            if child.exit_code() != 0:
                raise EmbeddedError(self._creation_failed(output))

    def _creation_failed(self, output: IO[bytes]) -> str:
        output.seek(0)
        text = output.read().decode(errors="replace")
        if os.strerror(28) in text:
            return f"The disk that holds {self.home} is full: PostgreSQL could not create its data."
        lines = [line for line in text.splitlines() if line.strip()] or ["it gave no reason"]
        told = [line for line in lines if re.search("error:|FATAL:|PANIC:", line)] or lines[-1:]
        reason = re.sub(r"^(.*?(error|FATAL|PANIC): +|initdb: )", "", told[0]).rstrip(".")
        return f"PostgreSQL could not create its data in {self.home}: {reason}."

    def _pid_file_lines(self) -> list[str]:
        with contextlib.suppress(OSError):
            return (self.home / "postmaster.pid").read_text(errors="replace").splitlines()
        return []


def _discard_partial(data: Path) -> None:
    """Remove data whose creation was cut short.

    An initdb that was just told to stop may be removing them too, hence the ignored errors and a
    new name for each attempt.
    """
    for path in data.glob(f"pg*{PARTIAL}*"):
        process.expel_from(path, signal.SIGKILL)
        shutil.rmtree(path, ignore_errors=True)


def _existing_majors(data: Path) -> list[int]:
    """Return the major versions that `data` has a folder of with something in it."""
    majors = []
    for path in data.glob("pg*"):
        number = path.name.removeprefix("pg")
        with explained(path):
            if number.isdecimal() and path.is_dir() and any(path.iterdir()):
                majors.append(int(number))
    return majors


def _has_data(home: Path, major: int) -> bool:
    """Tell whether `home` holds data of this version; raises `EmbeddedError` if other things."""
    with explained(home):
        if not home.exists() or (home.is_dir() and not any(home.iterdir())):
            return False
        try:
            written = (home / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise EmbeddedError(
                f"{home} holds something else than PostgreSQL's data (it has no PG_VERSION); move "
                "it away to start empty."
            ) from None
    if written != str(major):
        raise EmbeddedError(
            f"{home} holds data of PostgreSQL {written!r} by its PG_VERSION, not of {major}; move "
            "it away to start empty."
        )
    return True
