"""One owner for every background task: it starts, watches, restarts, cancels and awaits them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from maicivy.logs import fields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from maicivy.metrics import Metrics

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 10.0
CANCEL_SECONDS = 2.0
CANCEL_AGAIN_SECONDS = 0.1


class Supervisor:
    """Runs named tasks for as long as the program; one that fails is started again."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failed_at: dict[str, float] = {}

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run `run` for good under `name`."""
        self._metrics.task_failures.labels(name).inc(0)
        self._tasks[name] = asyncio.create_task(self._watch(name, run), name=name)

    def unsteady(self) -> list[str]:
        """Return the tasks that failed within the last 10 s or ended."""
        now = asyncio.get_running_loop().time()
        recent = {name for name, at in self._failed_at.items() if now - at < STEADY_SECONDS}
        ended = {name for name, task in self._tasks.items() if task.done()}
        return sorted(recent | ended)

    async def stop(self, name: str | None = None) -> None:
        """Cancel the task `name`, or all, and wait up to 2 s for them to end.

        They are cancelled again and again, for a library may swallow a cancellation: on Python
        3.11 `asyncio.wait_for`, which redis-py uses, loses one that comes with its result.
        """
        names = [name] if name else list(self._tasks)
        running = {self._tasks.pop(each) for each in names if each in self._tasks}
        deadline = asyncio.get_running_loop().time() + CANCEL_SECONDS
        while running and asyncio.get_running_loop().time() < deadline:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_SECONDS)
        for task in running:
            log.error("background task does not end", extra=fields(task=task.get_name()))

    async def _watch(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        pause = FIRST_PAUSE_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await run()
                log.error("background task ended by itself", extra=fields(task=name))
            except Exception:
                log.exception("background task failed", extra=fields(task=name))
            self._metrics.task_failures.labels(name).inc()
            self._failed_at[name] = loop.time()
            if loop.time() - started > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
