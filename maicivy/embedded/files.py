"""Files and folders that only their owner may read, and sentences for what the system refuses."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from maicivy.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maicivy.embedded.identity import Identity

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system refuses about `path` into an `EmbeddedError` with one sentence."""
    try:
        yield
    except OSError as error:
        raise EmbeddedError(_sentence(path, error)) from None


def _sentence(path: Path, error: OSError) -> str:
    where = path if error.filename is None else Path(os.fsdecode(error.filename))
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"The disk that holds {path} is full."
    if error.errno in {errno.EEXIST, errno.ENOTDIR, errno.ELOOP}:
        return f"{where} is not a folder; move it away or set MAICIVY_DATA_DIR to another folder."
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return (
            f"{where} cannot be used ({(error.strerror or '').lower()}); make {path} writable for "
            "this user or set MAICIVY_DATA_DIR to another folder."
        )
    return f"{where} cannot be used: {error.strerror or error}."


def make_private(path: Path, owner: Identity | None) -> None:
    """Make the folder `path` and give it to `owner`; one that is there stays as it is."""
    try:
        path.mkdir(mode=PRIVATE_FOLDER)
    except FileExistsError:
        if not path.is_dir() or path.is_symlink():
            raise
        return
    give(path, owner)


def open_private(path: Path, flags: int, owner: Identity | None) -> int:
    """Open `path`, made for `owner` alone if missing; a link in its place is refused.

    The folders belong to the servers' user, and root shall not be led elsewhere by that user.
    """
    flags |= os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, PRIVATE_FILE)
    if owner is not None:
        os.fchown(descriptor, owner.uid, owner.gid)
    return descriptor


def write_private(path: Path, text: str, owner: Identity | None) -> None:
    """Write `path` in one step and durably: readers see the old or the new text."""
    partial = path.with_name(f"{path.name}.new")
    partial.unlink(missing_ok=True)
    with os.fdopen(open_private(partial, os.O_WRONLY, owner), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def give(path: Path, owner: Identity | None) -> None:
    """Hand one file or folder to `owner`, nothing when that is None."""
    if owner is not None:
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)


def sync(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
