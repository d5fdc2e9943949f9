"""What both servers have in common: being prepared, started, watched, revived and ended."""

from __future__ import annotations

import abc
import contextlib
import logging
import os
import signal
import time
from typing import TYPE_CHECKING, ClassVar

from maicivy.embedded import process
from maicivy.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from maicivy.embedded.folder import DataFolder
    from maicivy.embedded.programs import Program

log = logging.getLogger(__name__)

READY_PATIENCE_SECONDS = 60.0
STOP_PATIENCE_SECONDS = 5.0
LOG_TAIL_BYTES = 16 * 1024
LOG_WHILE_RUNNING_BYTES = 16 * 1024 * 1024
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0
# One that lived this long is not counted as dying repeatedly.
HEALTHY_AFTER_SECONDS = 60.0


class Server(abc.ABC):
    """One database server in its folder inside the data folder."""

    name: ClassVar[str]
    title: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, folder: DataFolder, program: Program, home: Path) -> None:
        self.folder = folder
        self.program = program
        self.home = home
        self._child: process.Child | None = None
        self._log_start = 0
        self._spawned_at = 0.0
        self._backoff_seconds = 0.0

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """Where clients find it."""

    @abc.abstractmethod
    def command(self) -> Sequence[str]:
        """Return the binary and its arguments."""

    @abc.abstractmethod
    def is_ready(self) -> bool:
        """Tell whether the running server answers clients; takes a few milliseconds at most."""

    @abc.abstractmethod
    def remove_stale_files(self) -> None:
        """Remove what a killed server left and what would keep the next from starting.

        Only when no process of it lives any more.
        """

    @abc.abstractmethod
    def reason(self, line: str) -> str | None:
        """Return what a line of its log gives as the reason for stopping, None if nothing."""

    @property
    def description(self) -> str:
        """Its name, version and where its binary is from."""
        return f"{self.title} {self.program.version_text} ({self.program.origin})"

    @property
    def remedy(self) -> str:
        """What may be done when it does not start, to end a sentence with."""
        return ""

    @property
    def log_path(self) -> Path:
        """Where its log is."""
        return self.folder.log_path(f"{self.name}.log")

    @property
    def pid(self) -> int | None:
        """The pid of the running server, None when it does not run."""
        return self._child.pid if self.is_running() and self._child else None

    def is_running(self) -> bool:
        """Tell whether its process lives."""
        return self._child is not None and self._child.is_running()

    def start(self) -> None:
        """Start it over the remains of an earlier run, without waiting until it is ready."""
        process.expel_from(self.home, self.stop_signal)
        self._spawn()

    def _spawn(self) -> None:
        self.remove_stale_files()
        log = self.folder.open_log(f"{self.name}.log")
        try:
            self._log_start = os.fstat(log).st_size
            self._spawned_at = time.monotonic()
            self._child = process.spawn(
                self.command(),
                folder=self.home,
                output=log,
                death_signal=self.stop_signal,
                identity=self.folder.identity,
                held=self.folder.held,
            )
        finally:
            os.close(log)

    def check_start(self) -> bool:
        """Tell whether a server that was just started is ready; raises `EmbeddedError` if dead."""
        if self.is_running():
            return self.is_ready()
        raise EmbeddedError(
            f"{self.title} stopped while starting: {self._last_words()}; its log is "
            f"{self.log_path}{self.remedy}."
        )

    def revive(self) -> bool:
        """Start it again if it died and is due; return whether it did. Waits for nothing.

        One that dies again and again is given 0, 0.5, 1, 2 … up to 30 seconds.
        """
        if self.is_running():
            self._bound_log()
            return False
        now = time.monotonic()
        if now - self._spawned_at > HEALTHY_AFTER_SECONDS:
            self._backoff_seconds = 0
        # Children of a killed server still hold its memory for a moment.
        if now - self._spawned_at < self._backoff_seconds or process.kill_all_in(self.home):
            return False
        self._backoff_seconds = min(
            max(self._backoff_seconds * 2, FIRST_BACKOFF_SECONDS), LONGEST_BACKOFF_SECONDS
        )
        try:
            self._spawn()
        except EmbeddedError as error:
            log.warning("%s cannot be started again: %s", self.title, error)
            self._spawned_at = now
            return False
        return True

    def ask_to_stop(self) -> None:
        """Let it finish what it does and stop."""
        if self._child is not None:
            self._child.signal(self.stop_signal)

    def kill(self) -> None:
        """End it and all of its children at once."""
        if self._child is not None:
            self._child.signal(signal.SIGKILL)
        process.kill_all_in(self.home)

    def _bound_log(self) -> None:
        """Empty a log that grew long: the server appends, so it goes on at the start."""
        with contextlib.suppress(OSError):
            if self.log_path.stat().st_size > LOG_WHILE_RUNNING_BYTES:
                os.truncate(self.log_path, 0)

    def _last_words(self) -> str:
        """Return the reason that the log gives since the last start."""
        with contextlib.suppress(OSError), self.log_path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, size - LOG_TAIL_BYTES))
            for line in reversed(file.read().decode(errors="replace").splitlines()):
                reason = self.reason(line.strip())
                if reason:
                    return reason.rstrip(".")
        return "it gave no reason"


def stop_all(servers: Sequence[Server]) -> None:
    """Stop all of them at once; those that take over 5 s are killed."""
    for server in servers:
        server.ask_to_stop()
    if not _all_gone(servers):
        for server in servers:
            if server.is_running():
                server.kill()
        _all_gone(servers)


def _all_gone(servers: Sequence[Server]) -> bool:
    return process.wait_until(
        lambda: not any([server.is_running() for server in servers]),  # noqa: C419  # reap each
        STOP_PATIENCE_SECONDS,
    )
