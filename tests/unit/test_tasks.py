"""Background tasks fail, are seen to fail, and run again."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from maicivy.background import tasks
from maicivy.background.tasks import Supervisor
from maicivy.metrics import Metrics
from tests.conftest import until

if TYPE_CHECKING:
    import pytest


def failures(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(
        "maicivy_background_task_failures_total", {"task": name}
    )


async def test_a_task_that_fails_is_started_again_and_counted() -> None:
    metrics, calls = Metrics(), []
    supervisor = Supervisor(metrics)

    async def run() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError
        if len(calls) == 2:
            return
        await asyncio.Event().wait()

    async def forever() -> None:
        await asyncio.Event().wait()

    supervisor.start("shaky", run)
    supervisor.start("steady", forever)
    assert (failures(metrics, "shaky"), failures(metrics, "steady")) == (0, 0)
    await until(lambda: len(calls) == 3)
    assert (failures(metrics, "shaky"), failures(metrics, "steady")) == (2, 0)
    assert supervisor.unsteady() == ["shaky"]
    await supervisor.stop("shaky")
    await supervisor.stop()
    assert len(calls) == 3


async def test_a_swallowed_cancellation_is_repeated() -> None:
    supervisor, swallowed = Supervisor(Metrics()), []

    async def forgetful() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        swallowed.append(1)
        await asyncio.Event().wait()

    supervisor.start("forgetful", forgetful)
    await asyncio.sleep(0)
    [task] = supervisor._tasks.values()
    await supervisor.stop()
    assert (len(swallowed), task.cancelled()) == (1, True)


async def test_a_task_that_does_not_end_delays_the_stop_only_so_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tasks, "CANCEL_SECONDS", 0.05)
    supervisor = Supervisor(Metrics())
    released = asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await released.wait()

    try:
        supervisor.start("stubborn", stubborn)
        await asyncio.sleep(0)
        [task] = supervisor._tasks.values()
        await asyncio.wait_for(supervisor.stop(), 1)
        assert not task.done()
        assert "background task does not end" in caplog.text
    finally:
        released.set()
        task.cancel()
        await asyncio.wait([task])
