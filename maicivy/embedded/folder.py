"""The data folder: private, held by one program at a time, with a place for logs and sockets."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from maicivy.embedded import files, identity, lock
from maicivy.embedded.files import explained
from maicivy.errors import EmbeddedError

# sun_path holds 108 bytes on Linux and 104 on macOS, the zero at its end included.
SOCKET_PATH_BYTES = 100
LONGEST_SOCKET_NAME = ".s.PGSQL.5432.lock"
TEMPORARY_PREFIX = "maicivy-"
SERVERS_FILE = "servers.json"
LOG_BYTES = 4 * 1024 * 1024
# A folder that a process has open is found there, whatever the folders above it forbid.
OPEN_FOLDERS = Path("/proc/self/fd")
HELD = 63


class DataFolder:
    """A folder that this program holds the lock of."""

    def __init__(self, path: Path) -> None:
        """Make `path` if it is missing and lock it; raises `EmbeddedError` or `FolderInUse`."""
        self.path = path
        with explained(path):
            self.identity = identity.choose(path)
            if not path.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                files.make_private(path, self.identity)
            self._lock = lock.take(path, self.identity)
        try:
            with explained(path):
                self._settle_in()
        except BaseException:
            os.close(self._lock)
            raise

    def subfolder(self, name: str) -> Path:
        """Return the private folder `name`, made if it is missing."""
        path = self.path / name
        with explained(path):
            files.make_private(path, self.identity)
        return path

    @property
    def held(self) -> int:
        """The descriptor under which a server needs its folder kept open, -1 for none.

        Root's home is closed to the user that root's servers run as. That user may not walk to a
        folder in it, but may use a folder of its own that root has opened.
        """
        return -1 if self.is_reachable else HELD

    def fresh_subfolder(self, prefix: str) -> Path:
        """Return a new private folder whose name begins with `prefix`."""
        with explained(self.path):
            path = Path(tempfile.mkdtemp(prefix=prefix, dir=self.path))
            files.give(path, self.identity)
        return path

    def path_for_servers(self, path: Path) -> Path:
        """Return the name by which a server whose folder is `path` finds it."""
        return path if self.is_reachable else OPEN_FOLDERS / str(HELD)

    def log_path(self, name: str) -> Path:
        """Return where the log `name` is."""
        return self.path / "logs" / name

    def open_log(self, name: str) -> int:
        """Open the log `name` for appending and return its descriptor.

        A long one is put aside first, in the place of the one put aside before.
        """
        path = self.log_path(name)
        with explained(path):
            files.make_private(path.parent, self.identity)
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_size > LOG_BYTES:
                    path.replace(path.with_name(f"{name}.1"))
            return files.open_private(path, os.O_WRONLY | os.O_APPEND, self.identity)

    def write(self, name: str, text: str) -> None:
        """Write the private file `name` in one step."""
        with explained(self.path / name):
            files.write_private(self.path / name, text, self.identity)

    def tell(self, servers: dict[str, Any]) -> None:
        """Let programs that come later know which servers run here."""
        self.write(SERVERS_FILE, json.dumps(servers, indent=2) + "\n")

    def temporary(self) -> Path:
        """Return the folder under the system's temporary one that goes with this run.

        Linked from `run`, so that the next run finds and removes it if this one is killed.
        """
        link = self.path / "run"
        if link.is_symlink():
            return link.readlink()
        if link.is_dir():
            shutil.rmtree(link)
        elif link.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(link))
        made = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=self._temporary_root()))
        files.give(made, self.identity)
        link.symlink_to(made)
        return made

    def release(self) -> None:
        """Remove what only a running program needs and let go of the lock."""
        with contextlib.suppress(OSError):
            (self.path / SERVERS_FILE).unlink(missing_ok=True)
            self._discard_temporary()
        with contextlib.suppress(OSError):
            os.close(self._lock)

    def _settle_in(self) -> None:
        """Clear what a killed run left and find a place for the sockets."""
        (self.path / SERVERS_FILE).unlink(missing_ok=True)
        self._discard_temporary()
        self.is_reachable = self.identity is None or self.identity.enters(self.path)
        if not self.is_reachable and not OPEN_FOLDERS.exists():
            raise EmbeddedError(
                f"{self.path} is closed to the user that root runs PostgreSQL as; set "
                "MAICIVY_DATA_DIR to another folder or start the program as an ordinary user."
            )
        self.sockets = self._socket_folder()

    def _socket_folder(self) -> Path:
        """Return `run`, or a short folder elsewhere if sockets cannot be in `run`."""
        longest = len(os.fsencode(self.path / "run" / LONGEST_SOCKET_NAME))
        # A comma separates folders in PostgreSQL's setting and hosts in its URLs.
        if longest > SOCKET_PATH_BYTES or "," in str(self.path) or not self.is_reachable:
            return self.temporary()
        return self.subfolder("run")

    def _temporary_root(self) -> str:
        longest = f"{TEMPORARY_PREFIX}12345678/{LONGEST_SOCKET_NAME}"
        for root in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108  # mkdtemp is private
            fits = len(os.fsencode(Path(root) / longest)) <= SOCKET_PATH_BYTES and "," not in root
            if fits and (self.identity is None or self.identity.enters(Path(root))):
                return root
        raise EmbeddedError(
            f"Neither {self.path} nor the temporary folder can hold sockets (too long a path, a "
            "comma in it, or closed to the servers' user); set MAICIVY_DATA_DIR to another folder."
        )

    def _discard_temporary(self) -> None:
        link = self.path / "run"
        if not link.is_symlink():
            return
        target = link.readlink()
        owner = os.geteuid() if self.identity is None else self.identity.uid
        # Only what we made ourselves, whatever somebody may have let the link point to.
        if target.name.startswith(TEMPORARY_PREFIX) and not target.is_symlink():
            with contextlib.suppress(FileNotFoundError):
                if target.stat().st_uid == owner:
                    shutil.rmtree(target, ignore_errors=True)
        link.unlink()


def absolute(path: Path) -> Path:
    """Return `path` without links and dots, which is how the servers see it."""
    with explained(path):
        return Path(os.path.realpath(path.expanduser()))


def read_servers(path: Path) -> dict[str, Any]:
    """Return what the program that holds `path` told of its servers, {} if nothing yet."""
    try:
        told = json.loads((path / SERVERS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
