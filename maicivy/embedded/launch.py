"""Becomes a server that dies with the program that started it.

Run as a script by `maicivy.embedded.process`, never imported, and needs the standard library only:

    launch.py PARENT SIGNAL UID GID PIPE HELD COMMAND...

PARENT is the pid of the program, SIGNAL what the server shall get when that program dies, UID and
GID whom to become (-1: stay), PIPE a descriptor whose other end the program holds (-1: none), HELD
the number under which to keep the working folder open for the server (-1: not).

A script of its own instead of a `preexec_fn`, because running Python between fork and exec can
deadlock in a program that has threads. It costs 20 ms.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 1.0
INSIST_SECONDS = 0.2


def main() -> None:
    """Drop privileges, arrange to die with the parent, and become the command."""
    parent, signal_number, uid, gid, pipe, held = map(int, sys.argv[1:7])
    command = sys.argv[7:]
    # Before setuid: Python itself may be in a home that is closed to the other user.
    libc = _libc() if pipe < 0 else None
    os.umask(0o077)
    # A signal that comes before the server has its own handlers must end us, not set Python's flag
    # and be forgotten at exec; nor may it be ignored because the program's shell ignores it.
    signal.signal(signal_number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if held >= 0:
        os.dup2(os.open(".", os.O_RDONLY), held)
        os.chdir("/")
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if libc is None:
        _leave_watchdog(pipe, signal_number)
    else:
        # After setuid, which clears it.
        _die_with_parent(libc, parent, signal_number)
    try:
        os.execv(command[0], command)  # noqa: S606  # no shell is the point
    except OSError as error:
        sys.exit(f"FATAL:  {command[0]} cannot be run: {error.strerror}")


def _libc() -> ctypes.CDLL:
    import ctypes  # noqa: PLC0415  # only Linux needs it

    return ctypes.CDLL(None)


def _die_with_parent(libc: ctypes.CDLL, parent: int, signal_number: int) -> None:
    """Ask Linux for a signal at the parent's death; leave at once if it is dead already."""
    if libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        sys.exit("FATAL:  prctl(PR_SET_PDEATHSIG) is refused")
    if os.getppid() != parent:
        sys.exit("FATAL:  the program that started this server is gone")


def _leave_watchdog(pipe: int, signal_number: int) -> None:
    """Leave a process behind that signals this one, soon the server, when the pipe closes.

    Forked twice, so that the server never meets a child it does not know.
    """
    server = os.getpid()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os.close(pipe)
        return
    if os.fork():
        os._exit(0)
    with contextlib.suppress(ProcessLookupError):
        _watch(pipe, server, signal_number)
    os._exit(0)


def _watch(pipe: int, server: int, signal_number: int) -> None:
    """Wait for the end of the pipe or of the server, whichever comes first."""
    while _is_alive(server):
        readable, _, _ = select.select([pipe], [], [], POLL_SECONDS)
        if readable:
            break
    while _is_alive(server):
        os.kill(server, signal_number)
        time.sleep(INSIST_SECONDS)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
