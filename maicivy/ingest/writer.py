"""Group commit: one task that makes whole batches durable and answers those who wait.

While a batch is being written the next one fills, so batches grow with load by themselves and a
lone event waits for nothing. The queue is bounded; when it is full, or PostgreSQL is gone, callers
are refused at once.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from maicivy.errors import ApiError, InvalidRequest, NotTried, StorageUnavailable, Unavailable
from maicivy.ingest.commit import Committer
from maicivy.ingest.finisher import Finisher
from maicivy.ingest.ledger import DropReason
from maicivy.ingest.waiting import Lone, Waiting, grouped, in_doubt, unavailable
from maicivy.logs import fields
from maicivy.storage.deadlines import Deadlines
from maicivy.storage.postgres import CONTENT_REFUSED, describe_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maicivy.ingest.event import Event
    from maicivy.ingest.ledger import Ledger
    from maicivy.ingest.waiting import Outcome
    from maicivy.metrics import Metrics
    from maicivy.periods import Clock
    from maicivy.storage.partitions import Partitions
    from maicivy.storage.postgres import Postgres
    from maicivy.storage.realtime import Realtime, Snapshot

log = logging.getLogger(__name__)

STORE_DEADLINE_SECONDS = 8.0
DRAIN_SECONDS = 5.0
PROBE_PAUSE_SECONDS = 0.25


class Writer:
    """The one door to PostgreSQL for events; `run` is its task.

    `deliver` and `observe` are those of `Finisher`.
    """

    def __init__(
        self,
        *,
        postgres: Postgres,
        partitions: Partitions,
        realtime: Realtime,
        metrics: Metrics,
        ledger: Ledger,
        clock: Clock,
        queue_size: int,
        batch_size: int,
        deliver: Callable[[Sequence[str], int], None],
        observe: Callable[[Snapshot], None],
    ) -> None:
        self._postgres = postgres
        self._committer = Committer(postgres, partitions, realtime)
        self._realtime = realtime
        self._metrics = metrics
        self._ledger = ledger
        self._finisher = Finisher(
            realtime=realtime,
            metrics=metrics,
            ledger=ledger,
            clock=clock,
            deliver=deliver,
            observe=observe,
        )
        self._queue_size = queue_size
        self._batch_size = batch_size
        self._queue: collections.deque[Waiting] = collections.deque()
        metrics.watch(metrics.queue_depth, lambda: len(self._queue))
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._available = True
        self._closing = False
        self._deadlines = Deadlines(STORE_DEADLINE_SECONDS, in_doubt)

    @property
    def available(self) -> bool:
        """Whether PostgreSQL takes events."""
        return self._available

    async def store(self, event: Event) -> bool:
        """Return once `event` is durable and Redis refreshed.

        False says that an event with the same `event_id` had been stored before. Raises
        `InvalidRequest` if PostgreSQL refuses it, and otherwise as `store_all`.
        """
        self._check_open(1)
        future: asyncio.Future[Outcome] = self._deadlines.future()
        self._put([Lone(event, future)])
        outcome = await future
        if isinstance(outcome, ApiError):
            raise outcome
        return outcome

    async def store_all(self, events: Sequence[Event]) -> list[Outcome]:
        """Return what became of each of `events`, once they are durable, in one transaction.

        Raises `Unavailable` within 8 s; its code `in_doubt` says that they may be stored all the
        same.
        """
        if not events:
            return []
        self._check_open(len(events))
        future: asyncio.Future[list[Outcome]] = self._deadlines.future()
        self._put(grouped(events, future))
        return await future

    def offer(self, event: Event) -> None:
        """Take `event` without waiting; when it cannot be taken it is dropped and counted."""
        with contextlib.suppress(Unavailable):
            self._check_open(1)
            self._put([Waiting(event)])

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            while self._queue:
                await self._flush(self._take())
            await self._finisher.wait()
            if not self._queue:
                self._idle.set()
                await self._wake.wait()
                self._wake.clear()

    async def close(self) -> None:
        """Refuse new events, wait up to 5 s for those that are queued, and refuse the rest."""
        self._closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._idle.wait()
        self._refuse(self._take_all(), unavailable("The server is stopping"))

    def _check_open(self, count: int) -> None:
        if self._closing or not self._available:
            self._drop(count, DropReason.UNAVAILABLE)
            raise unavailable("The database is not available")
        if len(self._queue) + count > self._queue_size:
            self._drop(count, DropReason.QUEUE_FULL)
            raise unavailable("Too many events are waiting", code="queue_full")

    def _drop(self, count: int, reason: DropReason) -> None:
        for _ in range(count):
            self._ledger.drop(reason)

    def _put(self, waiting: Sequence[Waiting]) -> None:
        self._queue.extend(waiting)
        self._idle.clear()
        self._wake.set()

    def _take(self) -> list[Waiting]:
        """Take the next batch, which ends where a group ends."""
        batch: list[Waiting] = []
        while self._queue and (len(batch) < self._batch_size or not batch[-1].is_last):
            batch.append(self._queue.popleft())
        return batch

    def _take_all(self) -> list[Waiting]:
        waiting = list(self._queue)
        self._queue.clear()
        return waiting

    async def _flush(self, batch: list[Waiting]) -> None:
        """Write one batch and answer everybody who waits for it, whatever happens."""
        started = time.perf_counter()
        believed = self._realtime.epoch
        try:
            await self._write(batch, believed)
        except StorageUnavailable as error:
            log.warning("PostgreSQL takes no events", extra=fields(error=str(error)))
            self._available = False
            self._metrics.database_up.set(0)
            open_ones = [waiting for waiting in batch if not waiting.committed]
            await self._wait_out(open_ones, believed, is_doubtful=not isinstance(error, NotTried))
        finally:
            left = [one for one in batch if not one.committed and not one.ended]
            self._refuse(left, in_doubt())
            self._metrics.flush_duration.observe(time.perf_counter() - started)

    async def _wait_out(
        self, batch: list[Waiting], believed: bytes | None, *, is_doubtful: bool
    ) -> None:
        """Answer everybody, and return when PostgreSQL takes events again."""
        gone = unavailable("The database is not available")
        open_ones = [waiting for waiting in batch if not waiting.ended]
        if is_doubtful:
            for waiting in open_ones:
                waiting.fail(in_doubt())
        else:
            self._refuse(open_ones, gone)
        self._refuse(self._take_all(), gone)
        await self._until_available(open_ones if is_doubtful else [], believed)

    async def _write(self, batch: list[Waiting], believed: bytes | None) -> None:
        """Store a batch; one that PostgreSQL refuses is halved until the culprit is alone."""
        try:
            stored = await self._committer.commit([waiting.event for waiting in batch])
        except CONTENT_REFUSED as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._write(batch[:middle], believed)
                await self._write(batch[middle:], believed)
                return
            log.exception("PostgreSQL refused an event", extra=fields(error=describe_error(error)))
            self._finisher.end(batch[0], DropReason.REFUSED)
            batch[0].settle(InvalidRequest("The event cannot be stored.", code="event_refused"))
            return
        self._metrics.batch_size.observe(len(batch))
        await self._finisher.hand_over(batch, stored, believed)

    async def _until_available(self, doubtful: list[Waiting], believed: bytes | None) -> None:
        """Ask PostgreSQL a few times a second until it answers; callers are refused meanwhile.

        Its first answer says what became of the batch whose commit was never confirmed.
        """
        while not self._closing:
            with contextlib.suppress(StorageUnavailable):
                await self._settle(doubtful, believed)
                break
            await asyncio.sleep(PROBE_PAUSE_SECONDS)
        self._available = True
        self._metrics.database_up.set(1)
        log.info("PostgreSQL takes events again")

    async def _settle(self, doubtful: list[Waiting], believed: bytes | None) -> None:
        await self._postgres.write("ping")
        stored = await self._committer.look_up([waiting.event for waiting in doubtful])
        ids = {event.id for event in stored.events}
        for waiting in doubtful:
            if waiting.event.id not in ids:
                self._finisher.end(waiting, DropReason.UNAVAILABLE)
        await self._finisher.wait()
        await self._finisher.finish([one for one in doubtful if not one.ended], stored, believed)

    def _refuse(self, refused: list[Waiting], error: Unavailable) -> None:
        for waiting in refused:
            self._finisher.end(waiting, DropReason.UNAVAILABLE)
            waiting.fail(error)
