"""Whom the servers run as.

PostgreSQL refuses to run as root. When the program is root, both servers run as one unprivileged
user: PostgreSQL because it insists, Redis because nothing it does needs root, and because one
owner of the data folder is easier to reason about than two.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import stat
from typing import TYPE_CHECKING

from maicivy.errors import EmbeddedError

if TYPE_CHECKING:
    from pathlib import Path

USERS = ("postgres", "nobody")


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """An unprivileged user that root becomes for a server."""

    uid: int
    gid: int

    def enters(self, path: Path) -> bool:
        """Tell whether this user may walk to `path` and enter it, or run it if it is a file.

        Judged by the modes of `path` and of the folders above.
        """
        path = path.resolve()
        return all(self._may_enter(part) for part in (path, *path.parents))

    def _may_enter(self, folder: Path) -> bool:
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def choose(data: Path) -> Identity | None:
    """Return whom the servers of the folder `data` run as, or None to stay who we are.

    As root: the owner of what is there already (nothing has to change hands, and that user can
    start the program too), else `postgres`, else `nobody`. Raises `EmbeddedError` without those.
    """
    if os.geteuid() != 0:
        return None
    for folder in (*sorted(data.glob("pg*")), data):
        owner = _owner(folder)
        if owner is not None:
            return owner
    for name in USERS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Identity(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        "PostgreSQL does not run as root and there is neither a user postgres nor nobody to run "
        "it as; start the program as an ordinary user."
    )


def _owner(folder: Path) -> Identity | None:
    try:
        status = folder.lstat()
        # initdb insists on a user that has a name.
        entry = pwd.getpwuid(status.st_uid)
    except (OSError, KeyError):
        return None
    if entry.pw_uid == 0 or not stat.S_ISDIR(status.st_mode):
        return None
    return Identity(entry.pw_uid, entry.pw_gid)
