"""Starting, finding and ending the servers' processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from maicivy.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maicivy.embedded.identity import Identity

PROC = Path("/proc")
LAUNCHER = Path(__file__).with_name("launch.py")
POLL_SECONDS = 0.005
ORPHAN_PATIENCE_SECONDS = 5.0
# Nothing else of the program's environment is a server's business: not PG*, not our secrets.
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

# Elsewhere than on Linux, a watchdog reads a pipe that closes when this program ends.
DEATH_BY_PIPE = sys.platform != "linux"


class Child:
    """A process that gets a signal when this program dies, whatever it dies of."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: int | None) -> None:
        self._process = process
        self._pipe = pipe

    @property
    def pid(self) -> int:
        """The pid of the server itself: the launcher becomes the server."""
        return self._process.pid

    def is_running(self) -> bool:
        """Tell whether it runs, and reap it if it does not."""
        if self._process.poll() is None:
            return True
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        return False

    def exit_code(self) -> int:
        """Wait for its end and return how it ended."""
        return self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when it is gone."""
        self._process.send_signal(number)


def environment() -> dict[str, str]:
    """Return the environment that servers get."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    # macOS has long known no locale C.UTF-8; an unknown one keeps PostgreSQL from starting.
    return {**kept, "LC_ALL": "C" if sys.platform == "darwin" else "C.UTF-8"}


def spawn(
    command: Sequence[str],
    *,
    folder: Path,
    output: int,
    death_signal: signal.Signals,
    identity: Identity | None,
    source: int = subprocess.DEVNULL,
    held: int = -1,
) -> Child:
    """Start `command` in `folder`, its output going to `output`, its input from `source`.

    Both are descriptors. With `held`, it starts in / and has `folder` open under that number.
    It has a session of its own: Ctrl-C in the terminal reaches the program only, which stops the
    servers when it no longer needs them. Raises `EmbeddedError` if no process can be made.
    """
    if threading.current_thread() is not threading.main_thread():
        # The signal comes when the thread that made the child ends, not only the program.
        raise RuntimeError("embedded servers can be started from the main thread only")
    read_end, write_end = os.pipe() if DEATH_BY_PIPE else (-1, None)
    uid, gid = (identity.uid, identity.gid) if identity else (-1, -1)
    numbers = (os.getpid(), int(death_signal), uid, gid, read_end, held)
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), *map(str, numbers)]
    try:
        process = subprocess.Popen(  # noqa: S603  # no input from outside
            [*launcher, *command],
            cwd=folder,
            stdin=source,
            stdout=output,
            stderr=output,
            env=environment(),
            start_new_session=True,
            pass_fds=(read_end,) if DEATH_BY_PIPE else (),
        )
    except OSError as error:
        if write_end is not None:
            os.close(write_end)
        raise EmbeddedError(
            f"A process for {command[0]} cannot be started in {folder}: {error.strerror}."
        ) from None
    finally:
        if read_end >= 0:
            os.close(read_end)
    return Child(process, write_end)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll `condition` until it holds or `seconds` have passed; return whether it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def is_alive(pid: int) -> bool:
    """Tell whether a process with this pid exists, a zombie included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def command_line(pid: int) -> str:
    """Return what process `pid` was started with, shortened, or "" if that cannot be known."""
    try:
        text = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (OSError, UnicodeDecodeError):
        text = _ps("-ww", "-p", str(pid), "-o", "command=")
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:79]}…"


def processes_in(folder: Path) -> dict[int, int]:
    """Return the living processes whose working folder is `folder`, as pid → parent's pid.

    Both servers and all their children work in their data folder, which tells them from a process
    that was given an old pid; a zombie works nowhere. Compared by inode, so that neither a rename
    nor a second mount hides one. Without /proc, those whose command names the folder.
    """
    if not (PROC / "self" / "cwd").exists():
        return _processes_naming(folder)
    try:
        wanted = folder.stat()
    except OSError:
        return {}
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError, IndexError, ValueError):
                if os.path.samestat((entry / "cwd").stat(), wanted) and _is_server(entry):
                    # pid (name) state parent …: the name may hold spaces and brackets.
                    fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2]
                    found[int(entry.name)] = int(fields.split()[1])
    return found


def _is_server(entry: Path) -> bool:
    """Tell a server from, say, the shell of somebody who looks around in the folder."""
    name = (entry / "comm").read_text(errors="replace").strip()
    return name.startswith(("postgres", "initdb", "redis", "valkey"))


def _processes_naming(folder: Path) -> dict[int, int]:
    found = {}
    for line in _ps("-axwwo", "pid=,ppid=,command=").splitlines():
        pid, parent, command = [*line.split(None, 2), "", "", ""][:3]
        if str(folder) in command and int(pid) != os.getpid():
            found[int(pid)] = int(parent)
    return found


def _ps(*arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # no input from outside
            ["ps", *arguments],  # noqa: S607  # its place differs
            capture_output=True,
            check=False,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


def kill_all_in(folder: Path) -> bool:
    """Kill every server process left in `folder`; return whether there was any."""
    left = processes_in(folder)
    for pid in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return bool(left)


def expel_from(folder: Path, stop_signal: signal.Signals) -> None:
    """Stop the orphans of an earlier run in `folder`, and wait until they are gone.

    Only for who holds the lock of the data folder. Raises `EmbeddedError` if one stays.
    """
    left = processes_in(folder)
    for pid, parent in left.items():
        if parent not in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, stop_signal)
    if wait_until(lambda: not processes_in(folder), ORPHAN_PATIENCE_SECONDS):
        return
    kill_all_in(folder)
    if not wait_until(lambda: not processes_in(folder), ORPHAN_PATIENCE_SECONDS):
        pids = ", ".join(map(str, processes_in(folder)))
        raise EmbeddedError(f"Process {pids} still uses {folder} and cannot be ended.")
