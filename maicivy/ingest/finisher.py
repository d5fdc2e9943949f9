"""After the commit: Redis, the ledger and those who wait are told, while the next batch is written.

Batches are finished one after the other, in the order of their commits.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from maicivy.errors import NotTried, StorageUnavailable
from maicivy.ingest.ledger import DropReason
from maicivy.ingest.sampling import EVENTS_PER_SECOND, Sampler
from maicivy.storage.refresh import News

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maicivy.ingest.batch import Stored
    from maicivy.ingest.event import Event
    from maicivy.ingest.ledger import Ledger
    from maicivy.ingest.waiting import Waiting
    from maicivy.metrics import Metrics
    from maicivy.periods import Clock
    from maicivy.storage.realtime import Realtime, Snapshot


class Finisher:
    """Tells everybody what became of a batch.

    `deliver` gets the news of a batch that could not be published through Redis; `observe` the live
    numbers.
    """

    def __init__(
        self,
        *,
        realtime: Realtime,
        metrics: Metrics,
        ledger: Ledger,
        clock: Clock,
        deliver: Callable[[Sequence[str], int], None],
        observe: Callable[[Snapshot], None],
    ) -> None:
        self._realtime = realtime
        self._metrics = metrics
        self._ledger = ledger
        self._clock = clock
        self._deliver = deliver
        self._observe = observe
        self._sampler = Sampler(EVENTS_PER_SECOND, time.monotonic())
        self._task: asyncio.Task[None] | None = None

    async def hand_over(
        self, batch: Sequence[Waiting], stored: Stored, believed: bytes | None
    ) -> None:
        """Finish `batch` while the caller goes on, once the one before it is finished.

        `believed` is the epoch that Redis was expected to have before the commit.
        """
        for waiting in batch:
            waiting.committed = True
        await self.wait()
        self._task = asyncio.create_task(self.finish(batch, stored, believed))

    async def wait(self) -> None:
        """Wait for the batch that is being finished, which Redis bounds to half a second."""
        task = self._task
        if task is not None and not task.done():
            await asyncio.wait([task])

    async def finish(
        self, batch: Sequence[Waiting], stored: Stored, believed: bytes | None
    ) -> None:
        """Tell Redis, the ledger and those who wait."""
        try:
            if stored.events:
                await self._refresh(stored, believed)
        finally:
            ids = {event.id for event in stored.events}
            open_ones = [waiting for waiting in batch if not waiting.ended]
            rows = [waiting for waiting in open_ones if waiting.event.id in ids]
            self._ledger.store([waiting.event for waiting in rows])
            for waiting in rows:
                waiting.ended = True
            for waiting in batch:
                is_row = waiting.event.id in ids
                if not is_row:
                    self.end(waiting, DropReason.DUPLICATE)
                waiting.settle(is_row)
            self._metrics.visitors.inc(stored.new_visitors)
            for theme, views in stored.totals.themes:
                self._metrics.set_theme_views(theme, views)

    def end(self, waiting: Waiting, reason: DropReason) -> None:
        """Enter in the ledger why an event was not stored."""
        if not waiting.ended:
            waiting.ended = True
            self._ledger.drop(reason)

    async def _refresh(self, stored: Stored, believed: bytes | None) -> None:
        news, snapshot = self._news(stored.events), None
        try:
            snapshot = await self._realtime.refresh(stored.totals, news, self._clock(), believed)
        except StorageUnavailable as error:
            self._realtime.distrust()
            if isinstance(error, NotTried):
                self._deliver(*news)
        if snapshot is not None:
            self._observe(snapshot)

    def _news(self, events: Sequence[Event]) -> News:
        """Return what is published of `events`: the latest, when the feed cannot show them all."""
        passed = self._sampler.take(len(events), time.monotonic())
        skipped = len(events) - passed
        return News([event.message() for event in events[skipped:]], skipped)
