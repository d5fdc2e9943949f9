"""The data folder: private, locked by one program at a time, with a place for the sockets."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maicivy.embedded import identity, process
from maicivy.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
# sun_path holds 108 bytes on Linux and 104 on macOS, the zero at its end included.
SOCKET_PATH_BYTES = 100
LONGEST_SOCKET_NAME = ".s.PGSQL.5432.lock"
TEMPORARY_PREFIX = "maicivy-"
LOG_BYTES = 4 * 1024 * 1024
OWN_PROCESS_RETRIES = 20


class DataFolder:
    """A folder that this program holds the lock of."""

    def __init__(self, path: Path) -> None:
        """Create and lock `path`; raises `EmbeddedError`, `FolderInUse` if another holds it."""
        self.path = path
        with explained(path):
            self.identity = identity.choose(path)
            self._create()
            self._lock = _locked(path, self.identity)
        with explained(path), self._unlocked_on_error():
            self.is_reachable = self.identity is None or self.identity.enters(path)
            self._discard_temporary()
            self.sockets = self._socket_folder()

    @property
    def servers_file(self) -> Path:
        """The file that tells other programs which servers run here."""
        return self.path / "servers.json"

    def subfolder(self, name: str) -> Path:
        """Return the private folder `name`, made if it is missing."""
        path = self.path / name
        with explained(path):
            _make_private(path, self.identity)
        return path

    def open_log(self, name: str) -> int:
        """Open logs/`name` for appending and return its descriptor.

        A long log is put aside first, so that at most twice `LOG_BYTES` stay of earlier runs.
        """
        path = self.log_path(name)
        with explained(path):
            _make_private(path.parent, self.identity)
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_size > LOG_BYTES:
                    path.replace(path.with_suffix(".log.1"))
            return _open_private(path, os.O_WRONLY | os.O_APPEND, self.identity)

    def log_path(self, name: str) -> Path:
        """Return where the log `name` is."""
        return self.path / "logs" / name

    def write(self, path: Path, text: str) -> None:
        """Write the private file `path` in one step: readers see the old or the new text."""
        with explained(path):
            partial = path.with_name(f"{path.name}.new")
            partial.unlink(missing_ok=True)
            with os.fdopen(_open_private(partial, os.O_WRONLY, self.identity), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)

    def give(self, path: Path) -> None:
        """Hand one file or folder to the user that the servers run as."""
        _give(path, self.identity)

    def temporary(self) -> Path:
        """Return the folder under the system's temporary one that goes with this run.

        Linked from `run`, so that the next run finds and removes it if this one is killed.
        """
        link = self.path / "run"
        if link.is_symlink():
            return link.readlink()
        if link.is_dir():
            shutil.rmtree(link)
        made = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=self._temporary_root()))
        self.give(made)
        link.symlink_to(made)
        return made

    def release(self) -> None:
        """Remove what only a running program needs and let go of the lock."""
        with contextlib.suppress(OSError):
            self.servers_file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._discard_temporary()
        with contextlib.suppress(OSError):
            os.close(self._lock)

    def _create(self) -> None:
        if self.path.is_dir():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _make_private(self.path, self.identity)

    def _socket_folder(self) -> Path:
        """Return the folder for the sockets: `run`, or a short one elsewhere if `run` cannot be."""
        run = self.path / "run"
        longest = len(os.fsencode(run / LONGEST_SOCKET_NAME))
        # A comma separates folders in PostgreSQL's setting and hosts in its URLs.
        if longest > SOCKET_PATH_BYTES or "," in str(run) or not self.is_reachable:
            return self.temporary()
        return self.subfolder("run")

    def _temporary_root(self) -> str:
        longest = f"{TEMPORARY_PREFIX}12345678/{LONGEST_SOCKET_NAME}"
        for root in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108  # mkdtemp there
            fits = len(os.fsencode(Path(root) / longest)) <= SOCKET_PATH_BYTES and "," not in root
            if fits and (self.identity is None or self.identity.enters(Path(root))):
                return root
        raise EmbeddedError(
            f"The path of {self.path} cannot hold sockets (too long, with a comma, or closed to "
            "the servers' user) and neither can the temporary folder; set MAICIVY_DATA_DIR to "
            "another folder."
        )

    def _discard_temporary(self) -> None:
        """Remove the temporary folder that a killed run left."""
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

    @contextlib.contextmanager
    def _unlocked_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            os.close(self._lock)
            raise


class FolderInUse(EmbeddedError):
    """Another live process holds the folder's lock; `pid` is 0 if it is not known."""

    def __init__(self, path: Path, pid: int) -> None:
        command = process.command_line(pid) if pid else ""
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"The folder {path} is in use by {holder}{f' ({command})' if command else ''}; stop it "
            "or set MAICIVY_DATA_DIR to another folder."
        )
        self.pid = pid


def absolute(path: Path) -> Path:
    """Return `path` without links and dots, which is how the servers see it."""
    with explained(path):
        return Path(os.path.realpath(path.expanduser()))


def read_servers(path: Path) -> dict[str, Any]:
    """Return what the program that holds `path` says of its servers, {} if nothing yet."""
    try:
        told = json.loads((path / "servers.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system refuses about `path` into a sentence."""
    try:
        yield
    except OSError as error:
        raise EmbeddedError(_sentence(path, error)) from None


def _sentence(path: Path, error: OSError) -> str:
    where = f"{path}" if error.filename is None else f"{os.fsdecode(error.filename)}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"The disk of {path} is full."
    if error.errno in {errno.EEXIST, errno.ENOTDIR}:
        return (
            f"{where} is not a folder; set MAICIVY_DATA_DIR to a folder for the databases' files."
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return (
            f"{where} cannot be used ({(error.strerror or '').lower()}); make {path} writable for "
            "this user or set MAICIVY_DATA_DIR to another folder."
        )
    return f"{where} cannot be used: {error.strerror or error}."


def _locked(path: Path, owner: identity.Identity | None) -> int:
    """Take the lock and write our pid into it; return the descriptor that holds it."""
    descriptor = _open_private(path / ".lock", os.O_RDWR, owner)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        pid = _holder(descriptor)
        os.close(descriptor)
        raise FolderInUse(path, pid) from None
    except OSError as error:
        os.close(descriptor)
        if error.errno in {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise EmbeddedError(
                f"The file system of {path} has no locks; set MAICIVY_DATA_DIR to a local folder."
            ) from None
        raise
    return descriptor


def _holder(descriptor: int) -> int:
    """Return the pid in a lock that another process holds, 0 if it is of no process here.

    Right after the lock was taken the file is empty or still names the one before.
    """
    for _ in range(OWN_PROCESS_RETRIES):
        text = os.pread(descriptor, 32, 0).strip()
        if text.isdigit() and process.is_alive(int(text)):
            return int(text)
        time.sleep(0.01)
    return 0


def _make_private(path: Path, owner: identity.Identity | None) -> None:
    """Make the folder `path` and give it to `owner`; one that is there stays as it is."""
    try:
        path.mkdir(mode=PRIVATE_FOLDER)
    except FileExistsError:
        if not path.is_dir() or path.is_symlink():
            raise
        return
    _give(path, owner)


def _open_private(path: Path, flags: int, owner: identity.Identity | None) -> int:
    """Open `path`, made for `owner` alone if missing; a link there is refused."""
    flags |= os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, PRIVATE_FILE)
    if owner is not None:
        os.fchown(descriptor, owner.uid, owner.gid)
    return descriptor


def _give(path: Path, owner: identity.Identity | None) -> None:
    if owner is not None:
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)


def sync(path: Path) -> None:
    """Make the names in the folder `path` durable."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
