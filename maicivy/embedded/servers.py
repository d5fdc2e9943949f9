"""Starting both servers of a data folder, or finding those that another program started."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Self

from maicivy.embedded import process
from maicivy.embedded.folder import SERVERS_FILE, DataFolder, absolute, read_servers
from maicivy.embedded.lock import FolderInUse
from maicivy.embedded.postgres import CONNECTIONS, Postgres
from maicivy.embedded.redis import Redis
from maicivy.embedded.server import READY_PATIENCE_SECONDS, Server, stop_all
from maicivy.errors import EmbeddedError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

ATTACH_PATIENCE_SECONDS = 15.0
ATTACH_POLL_SECONDS = 0.05


class EmbeddedServers:
    """The servers of a data folder: ours to stop, or another program's when `attached`."""

    def __init__(
        self,
        descriptions: dict[str, str],
        urls: dict[str, str],
        *,
        servers: list[Server] | None = None,
        folder: DataFolder | None = None,
    ) -> None:
        self.database_url = urls.get(Postgres.name)
        self.redis_url = urls.get(Redis.name)
        self.attached = folder is None
        self._descriptions = descriptions
        self._servers = servers or []
        self._folder = folder
        self._owner = os.getpid()

    def describe(self) -> dict[str, str]:
        """Return, by name, each server's version and where its binary is from."""
        return dict(self._descriptions)

    def revive(self) -> list[str]:
        """Start the servers that died again and return their names; waits for nothing.

        Meant to be called every second or so from the main thread, as a child belongs to the
        thread that made it. One that dies repeatedly is left alone for up to 30 seconds.
        """
        if self._folder is None or os.getpid() != self._owner:
            return []
        return [server.name for server in self._servers if server.revive()]

    def stop(self) -> None:
        """Stop both at once, in 5 s at the most; a second call and one when attached do nothing."""
        folder, self._folder = self._folder, None
        # A forked worker has a copy of this object, but the servers are not its to stop.
        if folder is None or os.getpid() != self._owner:
            return
        stop_all(self._servers)
        folder.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start(
    data_dir: Path, *, postgres: bool = True, redis: bool = True, connections: int = CONNECTIONS
) -> EmbeddedServers:
    """Start the servers asked for in `data_dir` and wait until they answer.

    PostgreSQL takes so many `connections`.

    Call it from the main thread. Raises `EmbeddedError` with one sentence for the operator when
    the folder is in use or unusable, or when a server is missing or does not start.
    """
    folder = DataFolder(absolute(data_dir))
    servers: list[Server] = []
    try:
        # Redis comes up while PostgreSQL's data are being created.
        for kind in [Redis] * redis + [Postgres] * postgres:
            server = kind.prepare(folder)
            if isinstance(server, Postgres):
                server.connections = connections
            servers.append(server)
            server.start()
        _wait_until_ready(servers)
        urls = {server.name: server.url for server in servers}
        descriptions = {server.name: server.description for server in reversed(servers)}
        folder.tell({"pid": os.getpid(), "urls": urls, "servers": descriptions})
    except BaseException:
        stop_all(servers)
        folder.release()
        raise
    return EmbeddedServers(descriptions, urls, servers=servers, folder=folder)


def attach_or_start(
    data_dir: Path, *, postgres: bool = True, redis: bool = True
) -> EmbeddedServers:
    """Use the servers that another program runs in `data_dir`, else start them.

    Raises `EmbeddedError` as `start` does, and when that program does not run one asked for.
    """
    path = absolute(data_dir)
    deadline = time.monotonic() + ATTACH_PATIENCE_SECONDS
    while True:
        try:
            return start(path, postgres=postgres, redis=redis)
        except FolderInUse as in_use:
            told = read_servers(path)
            if told.get("pid") == in_use.pid:
                return _attached(path, told, postgres=postgres, redis=redis)
            # It is still starting, or stopping.
            if time.monotonic() > deadline:
                raise
        time.sleep(ATTACH_POLL_SECONDS)


def _attached(
    path: Path, told: dict[str, object], *, postgres: bool, redis: bool
) -> EmbeddedServers:
    urls, descriptions = told.get("urls"), told.get("servers")
    if not isinstance(urls, dict) or not isinstance(descriptions, dict):
        raise EmbeddedError(f"{path / SERVERS_FILE} cannot be understood; restart the program.")
    asked = [Postgres] * postgres + [Redis] * redis
    for kind in asked:
        if kind.name not in urls:
            raise EmbeddedError(
                f"Process {told['pid']}, which holds {path}, runs no {kind.title} there; set the "
                "same DATABASE_URL and REDIS_URL as for that process."
            )
    names = [kind.name for kind in asked]
    return EmbeddedServers(
        {name: str(descriptions.get(name, "")) for name in names},
        {name: str(urls[name]) for name in names},
    )


def _wait_until_ready(servers: list[Server]) -> None:
    waiting = list(servers)

    def ready() -> bool:
        waiting[:] = [server for server in waiting if not server.check_start()]
        return not waiting

    if not process.wait_until(ready, READY_PATIENCE_SECONDS):
        raise EmbeddedError(
            f"{waiting[0].title} is not ready after {READY_PATIENCE_SECONDS:.0f} s; its log is "
            f"{waiting[0].log_path}."
        )
