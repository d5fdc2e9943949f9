"""The parent of the workers: it starts them, starts those that die again, and ends with them.

A worker is a fresh process of the same program, never a fork of a running one. The parent serves
nothing; its main thread is the one that every worker's life hangs on.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime as dt
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from maicivy import exposition, shared
from maicivy.logs import fields
from maicivy.periods import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
STOPPING = (signal.SIGINT, signal.SIGTERM)
AWAITED = {*STOPPING, signal.SIGCHLD}
WATCH_SECONDS = 0.5
START_POLL_SECONDS = 0.02
# More than a worker's own bounds add up to: 8 s for requests, 5 s for the queue, then its tasks.
STOP_SECONDS = 20.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# One that lived this long does not die at once.
STEADY_SECONDS = 10.0


class Slot:
    """One worker's place: the process in it, and when the next one is due."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = False
        self.due_at = 0.0
        self.uncounted_deaths = 0
        self._pipe: int | None = None
        self._started_at = 0.0
        self._pause = 0.0

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a process that says through a pipe that it is ready."""
        self._started_at, self.ready = time.monotonic(), False
        self._pipe, told = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self.process = subprocess.Popen(  # noqa: S603  # no input from outside
                [*command, str(told)],
                env=environment,
                stdin=subprocess.DEVNULL,
                # Ctrl-C in the terminal is for the parent, which tells its workers
                start_new_session=True,
                pass_fds=(told,),
            )
        finally:
            os.close(told)

    def look(self) -> int | None:
        """See whether it is ready; return its exit code when it has ended."""
        if self.process is None:
            return None
        if self._pipe is not None:
            with contextlib.suppress(BlockingIOError):
                self.ready = os.read(self._pipe, 1) != b""
                self._close_pipe()
            if self.ready:
                self.uncounted_deaths = 0
        return self.process.poll()

    def bury(self) -> None:
        """Decide when the next process is due: at once, or later and later if they die young."""
        now = time.monotonic()
        if now - self._started_at > STEADY_SECONDS:
            self._pause = 0.0
        else:
            self._pause = min(max(2 * self._pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        self.process, self.ready, self.due_at = None, False, now + self._pause
        self.uncounted_deaths += 1
        self._close_pipe()

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when it has ended."""
        if self.process is not None:
            self.process.send_signal(number)

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


class Workers:
    """All workers of a program; `command` starts one when its place is added to it."""

    def __init__(
        self,
        count: int,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        revive: Callable[[], None],
    ) -> None:
        self._command = command
        self._environment = environment
        self._folder = folder
        self._revive = revive
        self._since = utc_now()
        self._slots = [Slot(number) for number in range(count)]

    def run(self, announce: Callable[[], None]) -> int:
        """Run until SIGINT or SIGTERM; return 0, or the exit code of one that cannot start.

        The first worker is started alone: it brings the schema up to date, and what is wrong with
        the settings is said once.
        """
        with _awaiting_signals():
            try:
                for starting in (self._slots[:1], self._slots[1:]):
                    code = self._start_all(starting)
                    if code is not None:
                        return code
                announce()
                while _next_signal(WATCH_SECONDS) not in STOPPING:
                    self._look_after()
                return 0
            finally:
                self._stop()

    def _start_all(self, slots: list[Slot]) -> int | None:
        """Start some and wait until they are ready; a code says that the program has to end."""
        for slot in slots:
            self._start(slot)
        while not all(slot.ready for slot in slots):
            if _next_signal(START_POLL_SECONDS) in STOPPING:
                return 0
            self._revive()
            for slot in slots:
                code = slot.look()
                if code is not None:
                    return max(code, 1)
        return None

    def _look_after(self) -> None:
        """Start those again that died."""
        self._revive()
        for slot in self._slots:
            code = slot.look()
            if code is not None and slot.process is not None:
                pid = slot.process.pid
                log.warning(
                    "worker died", extra=fields(worker=slot.number, pid=pid, exit_code=code)
                )
                self._bury(slot)
            if slot.process is None and time.monotonic() >= slot.due_at:
                self._start(slot)

    def _start(self, slot: Slot) -> None:
        place = (os.getpid(), self._folder, slot.number, slot.uncounted_deaths, self._since)
        try:
            slot.start([*self._command, *map(str, place)], self._environment)
        except OSError as error:
            log.warning("worker cannot be started", extra=fields(error=error.strerror))
            self._bury(slot)

    def _bury(self, slot: Slot) -> None:
        """Give back what a dead worker held."""
        exposition.forget_live(self._folder, slot.number)
        shared.clear_seats(self._folder, slot.number)
        slot.bury()

    def _stop(self) -> None:
        """Let all finish what they accepted; a second signal hurries them, a deadline ends them."""
        for slot in self._slots:
            slot.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while any([slot.process and slot.look() is None for slot in self._slots]):  # noqa: C419
            number = _next_signal(START_POLL_SECONDS)
            overdue = time.monotonic() > deadline
            if overdue or number in STOPPING:
                for slot in self._slots:
                    slot.signal(signal.SIGKILL if overdue else signal.SIGTERM)


@contextlib.contextmanager
def _awaiting_signals() -> Iterator[None]:
    """Keep signals until they are asked for."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _next_signal(seconds: float) -> int | None:
    """Return the signal that came or comes within so many seconds."""
    found = signal.sigtimedwait(AWAITED, seconds)
    return None if found is None else found.si_signo


def join(place: Sequence[str]) -> tuple[shared.Member, Callable[[], None]]:
    """Become the worker that `place` names; return it and what tells the parent that it is ready.

    From here on it dies with the parent, whatever that dies of: nothing that was acknowledged is
    lost by that, and nothing is ever left behind.
    """
    parent, folder, slot, deaths, since, pipe = place
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("maicivy: the program that started this worker is gone.")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
    member = shared.Member(Path(folder), int(slot), dt.datetime.fromisoformat(since), int(deaths))

    def ready() -> None:
        log.info("worker is ready", extra=fields(worker=member.slot, pid=os.getpid()))
        os.write(int(pipe), b"1")
        os.close(int(pipe))

    return member, ready
