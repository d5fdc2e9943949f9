"""What the workers of one program share: a folder of small files, with a slot for each of them.

The parent makes the folder and clears what a dead worker held; everything else is the workers'.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

PREFIX = "maicivy-workers-"
HELD = "held"
SEATS = "seats"
SLOT_BYTES = 4
LOCK_TRIES = 50
LOCK_PAUSE_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Member:
    """Who a worker is: its slot, from 0 on, and when its program started.

    `deaths` is how often workers of this slot died without having been counted by a later one.
    """

    folder: Path
    slot: int
    since: dt.datetime
    deaths: int = 0


class Seats:
    """A number of seats, some of which are taken."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._count = 0

    def take(self) -> bool:
        """Take a seat; False says that none is left."""
        free = self._count < self.limit
        self._count += free
        return free

    def give_back(self) -> None:
        """Give one seat back that was taken here."""
        self._count -= 1


class SharedSeats(Seats):
    """Seats that all workers take from, each counting its own in its slot of one file.

    Taking adds the slots up under a lock, so never more than `limit` are taken; giving back
    touches the own slot only and needs none. The lock ends with its holder, and the seats of a
    dead worker are given back by the parent.
    """

    def __init__(self, limit: int, member: Member) -> None:
        super().__init__(limit)
        self._slot = member.slot
        self._file = os.open(member.folder / SEATS, os.O_RDWR | os.O_CLOEXEC)
        self._taken = memoryview(mmap.mmap(self._file, 0)).cast("I")

    def take(self) -> bool:
        """Take a seat; False says that none is left, or that somebody sits on the lock."""
        if not self._lock():
            return False
        try:
            free = sum(self._taken) < self.limit
            self._taken[self._slot] += free
            return free
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def give_back(self) -> None:
        """Give one seat back that was taken here."""
        self._taken[self._slot] -= 1

    def _lock(self) -> bool:
        """Lock within 50 ms: it is held for microseconds, unless its holder was stopped there."""
        for _ in range(LOCK_TRIES):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            time.sleep(LOCK_PAUSE_SECONDS)
        return False


def clear_seats(folder: Path, slot: int) -> None:
    """Give back what a dead worker had taken."""
    with (folder / SEATS).open("r+b") as file:
        file.seek(slot * SLOT_BYTES)
        file.write(bytes(SLOT_BYTES))


@contextlib.contextmanager
def shared_folder(workers: int) -> Iterator[Path]:
    """Lend a new folder for so many workers, in the system's folder of temporary files."""
    _sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    held = os.open(folder / "new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        # under its name only once it is locked, or another program's sweep could take it
        (folder / "new").rename(folder / HELD)
        (folder / SEATS).write_bytes(bytes(workers * SLOT_BYTES))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _sweep(parent: Path) -> None:
    """Remove the folders of programs that were killed: nobody holds their lock any more."""
    for file in parent.glob(f"{PREFIX}*/{HELD}"):
        with contextlib.suppress(OSError):
            held = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(file.parent, ignore_errors=True)
            finally:
                os.close(held)
