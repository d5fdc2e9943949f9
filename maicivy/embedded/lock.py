"""One program at a time: the lock of the data folder.

PostgreSQL refuses a second server on its data, Redis starts one silently and each corrupts the
other's. Whoever holds the lock also knows that a server still in the folder is an orphan.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from typing import TYPE_CHECKING

from maicivy.embedded import process
from maicivy.embedded.files import open_private
from maicivy.errors import EmbeddedError

if TYPE_CHECKING:
    from pathlib import Path

    from maicivy.embedded.identity import Identity

NAME = ".lock"
PATIENCE_SECONDS = 2.0
POLL_SECONDS = 0.01


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


def take(folder: Path, owner: Identity | None) -> int:
    """Take the lock of `folder`, write our pid into it and return the descriptor that holds it.

    Closing the descriptor lets go, and so does the end of the process. Raises `FolderInUse`.
    """
    descriptor = open_private(folder / NAME, os.O_RDWR, owner)
    try:
        pid = _wait_for(descriptor)
        if pid is None:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        os.close(descriptor)
        if error.errno in {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise EmbeddedError(
                f"The file system of {folder} has no locks; set MAICIVY_DATA_DIR to a local folder."
            ) from None
        raise
    if pid is not None:
        os.close(descriptor)
        raise FolderInUse(folder, pid)
    return descriptor


def _wait_for(descriptor: int) -> int | None:
    """Take the lock and return None, or the pid of who has it, 0 if that is not known.

    A lock that no living process has its pid in is waited for: who took it has not written yet, or
    was killed and a child of it is about to become a server, which does not inherit the lock.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _holder(descriptor)
            if pid or time.monotonic() > deadline:
                return pid
            time.sleep(POLL_SECONDS)
        else:
            return None


def _holder(descriptor: int) -> int:
    """Return the pid in a lock that another process holds, 0 if it is of no living process."""
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() and process.is_alive(int(text)) else 0
