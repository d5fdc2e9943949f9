"""The longest that anybody waits for an answer, with one timer for all."""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Deadlines:
    """Fails futures that are not done after `seconds`; who came first is due first."""

    def __init__(self, seconds: float, error: Callable[[], Exception]) -> None:
        self._seconds = seconds
        self._error = error
        self._waiting: collections.deque[tuple[float, asyncio.Future[Any]]] = collections.deque()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def future(self) -> asyncio.Future[Any]:
        """Return a future that fails in time; those that are done meanwhile are forgotten."""
        loop, waiting = self._loop or self._running(), self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()
        future: asyncio.Future[Any] = loop.create_future()
        waiting.append((loop.time() + self._seconds, future))
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._expire)
        return future

    def _running(self) -> asyncio.AbstractEventLoop:
        # asking for it costs a system call
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _expire(self) -> None:
        loop, waiting = asyncio.get_running_loop(), self._waiting
        while waiting and (waiting[0][1].done() or waiting[0][0] <= loop.time()):
            _, future = waiting.popleft()
            if not future.done():
                future.set_exception(self._error())
        self._timer = loop.call_at(waiting[0][0], self._expire) if waiting else None
