"""Redis: how it is configured, when it is ready, and which version wrote its data."""

from __future__ import annotations

import re
import signal
import socket
from typing import TYPE_CHECKING
from urllib.parse import quote

from maicivy.embedded.files import explained
from maicivy.embedded.programs import find_redis
from maicivy.embedded.server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from maicivy.embedded.folder import DataFolder

SOCKET_NAME = "redis.sock"
VERSION_FILE = "redis.version"
PING_TIMEOUT_SECONDS = 0.2

SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "logfile": "",
    "loglevel": "notice",
    "always-show-logo": "no",
    # A crash report would quote the command, and with it what a visitor sent.
    "crash-log-enabled": "no",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    # Better to refuse than to forget silently; the program refills what it could not write.
    "maxmemory-policy": "noeviction",
}


class Redis(Server):
    """The Redis of a data folder, in `redis` there."""

    name = "redis"
    title = "Redis"
    # Writes what is pending and leaves.
    stop_signal = signal.SIGTERM

    @classmethod
    def prepare(cls, folder: DataFolder) -> Redis:
        """Choose the binary and note its version beside the data; raises `EmbeddedError`.

        Noted before the start: from then on an older Redis would find the data unreadable.
        """
        home = folder.subfolder("redis")
        note = folder.path / VERSION_FILE
        noted = _noted_version(note, home)
        program = find_redis(noted, home)
        if noted != program.version:
            folder.write(VERSION_FILE, f"{program.version[0]}.{program.version[1]}\n")
        return cls(folder, program.reachable_for(folder), home)

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"unix://{quote(str(self._socket))}?db=0"

    @property
    def _socket(self) -> Path:
        return self.folder.sockets / SOCKET_NAME

    def command(self) -> Sequence[str]:
        """Return the server in the foreground, with its settings as arguments."""
        settings = {
            **SETTINGS,
            "dir": str(self.folder.path_for_servers(self.home)),
            "unixsocket": str(self._socket),
        }
        options = [part for name in settings for part in (f"--{name}", settings[name])]
        return [str(self.program.binary), *options]

    def is_ready(self) -> bool:
        """Tell by a PING, which is refused while the data are being loaded."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PING_TIMEOUT_SECONDS)
            try:
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def remove_stale_files(self) -> None:
        """Remove the socket, so that nobody connects to the one before."""
        with explained(self._socket):
            self._socket.unlink(missing_ok=True)

    @property
    def remedy(self) -> str:
        """What may be done when its files are damaged."""
        return f", and {self.home} may be moved away: it is only a copy of what PostgreSQL holds"

    def reason(self, line: str) -> str | None:
        """Return a warning, or a line without the mark of an ordinary one."""
        match = re.match(
            r"(?:\d+:\w .*?\d{2}:\d{2}:\d{2}\.\d+ (?P<level>[-.*#]) )?(?P<text>.*)", line
        )
        if match is None or match["level"] in {"-", ".", "*"}:
            return None
        return match["text"].removeprefix("FATAL:  ")


def _noted_version(note: Path, home: Path) -> tuple[int, int] | None:
    """Return the version that wrote the data, None when there are no data."""
    with explained(home):
        if not any(home.iterdir()) or not note.exists():
            return None
        match = re.match(r"(\d+)\.(\d+)", note.read_text(errors="replace"))
    return (int(match[1]), int(match[2])) if match else None
