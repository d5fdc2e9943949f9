"""Group commit: one task that makes whole batches durable and answers those who wait.

While a batch is being written the next one fills, so batches grow with load by themselves and a
lone event waits for nothing. The queue is bounded; when it is full, or PostgreSQL is gone, callers
are refused at once.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime as dt
import logging
import time
from typing import TYPE_CHECKING, Any

from maicivy.errors import InvalidRequest, NotTried, StorageUnavailable, Unavailable
from maicivy.ingest.batch import Stored, batch_arguments, read_reply
from maicivy.ingest.event import DropReason, path_of
from maicivy.logs import fields
from maicivy.storage.postgres import CONTENT_REFUSED, NO_PARTITION, describe_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maicivy.ingest.event import Event
    from maicivy.metrics import Metrics
    from maicivy.periods import Clock
    from maicivy.storage.partitions import Partitions
    from maicivy.storage.postgres import Postgres
    from maicivy.storage.realtime import Realtime, Snapshot

log = logging.getLogger(__name__)

STORE_DEADLINE_SECONDS = 8.0
DRAIN_SECONDS = 5.0
PROBE_PAUSE_SECONDS = 0.25


class _Waiting:
    """An event in the queue, and the future of whoever waits for it, if anybody does."""

    __slots__ = ("event", "future")

    def __init__(self, event: Event, future: asyncio.Future[None] | None) -> None:
        self.event = event
        self.future = future

    def settle(self, error: Exception | None = None) -> None:
        if self.future is None or self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class Writer:
    """The one door to PostgreSQL for events; `run` is its task.

    `deliver` gets the messages of a batch that could not be published through Redis.
    """

    def __init__(
        self,
        *,
        postgres: Postgres,
        partitions: Partitions,
        realtime: Realtime,
        metrics: Metrics,
        clock: Clock,
        queue_size: int,
        batch_size: int,
        deliver: Callable[[Sequence[str]], None],
        observe: Callable[[Snapshot], None],
    ) -> None:
        self._postgres = postgres
        self._partitions = partitions
        self._realtime = realtime
        self._metrics = metrics
        self._clock = clock
        self._queue_size = queue_size
        self._batch_size = batch_size
        self._deliver = deliver
        self._observe = observe
        self._queue: collections.deque[_Waiting] = collections.deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._available = True
        self._closing = False

    @property
    def available(self) -> bool:
        """Whether PostgreSQL takes events."""
        return self._available

    async def store(self, event: Event) -> None:
        """Return once `event` is durable and Redis refreshed; raises `Unavailable` within 8 s."""
        self._check_open()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(_Waiting(event, future))
        try:
            async with asyncio.timeout(STORE_DEADLINE_SECONDS):
                await future
        except TimeoutError:
            raise _unavailable("The event could not be stored in time") from None

    def offer(self, event: Event) -> None:
        """Take `event` without waiting; when it cannot be taken it is dropped and counted."""
        with contextlib.suppress(Unavailable):
            self._check_open()
            self._put(_Waiting(event, None))

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            while self._queue:
                await self._flush(self._take())
            self._idle.set()
            await self._wake.wait()
            self._wake.clear()

    async def close(self) -> None:
        """Refuse new events, wait up to 5 s for those that are queued, and refuse the rest."""
        self._closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._idle.wait()
        self._refuse(self._take_all(), _unavailable("The server is stopping"))

    def _check_open(self) -> None:
        if self._closing or not self._available:
            self._dropped(DropReason.UNAVAILABLE)
            raise _unavailable("The database is not available")
        if len(self._queue) >= self._queue_size:
            self._dropped(DropReason.QUEUE_FULL)
            raise _unavailable("Too many events are waiting", code="queue_full")

    def _put(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        self._idle.clear()
        self._wake.set()
        self._metrics.queue_depth.set(len(self._queue))

    def _take(self) -> list[_Waiting]:
        count = min(len(self._queue), self._batch_size)
        batch = [self._queue.popleft() for _ in range(count)]
        self._metrics.queue_depth.set(len(self._queue))
        return batch

    def _take_all(self) -> list[_Waiting]:
        waiting = list(self._queue)
        self._queue.clear()
        self._metrics.queue_depth.set(0)
        return waiting

    async def _flush(self, batch: list[_Waiting]) -> None:
        """Write one batch and answer everybody who waits for it, whatever happens."""
        started = time.perf_counter()
        try:
            await self._write(batch)
        except StorageUnavailable as error:
            log.warning("PostgreSQL takes no events", extra=fields(error=str(error)))
            self._available = False
            self._metrics.database_up.set(0)
            self._refuse(batch + self._take_all(), _unavailable("The database is not available"))
            await self._until_available()
        finally:
            self._refuse(
                [waiting for waiting in batch if waiting.future and not waiting.future.done()],
                _unavailable("The event could not be stored"),
            )
            self._metrics.flush_duration.observe(time.perf_counter() - started)

    async def _write(self, batch: list[_Waiting]) -> None:
        """Store a batch; one that PostgreSQL refuses is halved until the culprit is alone."""
        events = [waiting.event for waiting in batch]
        try:
            stored = await self._commit(events)
        except CONTENT_REFUSED as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._write(batch[:middle])
                await self._write(batch[middle:])
                return
            log.exception("PostgreSQL refused an event", extra=fields(error=describe_error(error)))
            self._dropped(DropReason.REFUSED)
            batch[0].settle(InvalidRequest("The event cannot be stored.", code="event_refused"))
            return
        await self._refresh(stored, events)
        for waiting in batch:
            waiting.settle()
        self._count(stored, events)

    async def _commit(self, events: Sequence[Event]) -> Stored:
        """Commit `events` in one statement, and try once more where that can help.

        Events have their ids before they are sent, so a repeated statement stores and counts
        nothing twice, even when the first one had been committed and only its reply was lost.
        """
        arguments = batch_arguments(events)
        days = {event.created_at.astimezone(dt.UTC).date() for event in events}
        try:
            return await self._insert(days, arguments, events)
        except (StorageUnavailable, NO_PARTITION):
            self._partitions.forget()
            stored = await self._insert(days, arguments, events)
        if stored.new_events < len(events):
            # The totals came with the lost reply: let Redis be filled in from the rollups.
            self._realtime.distrust()
        return stored

    async def _insert(
        self, days: set[dt.date], arguments: list[list[Any]], events: Sequence[Event]
    ) -> Stored:
        await self._partitions.ensure(days)
        return read_reply(await self._postgres.write("insert_batch", *arguments), events)

    async def _refresh(self, stored: Stored, events: Sequence[Event]) -> None:
        messages = [event.message() for event in events]
        try:
            snapshot = await self._realtime.refresh(stored.totals, messages, self._clock())
        except StorageUnavailable as error:
            self._realtime.distrust()
            if isinstance(error, NotTried):
                self._deliver(messages)
            return
        if snapshot is not None:
            self._observe(snapshot)

    def _count(self, stored: Stored, events: Sequence[Event]) -> None:
        metrics = self._metrics
        metrics.batch_size.observe(len(events))
        metrics.visitors.inc(stored.new_visitors)
        for event in events:
            metrics.events.labels(metrics.event_types(event.event_type)).inc()
            if event.letter_type:
                metrics.letters.labels(event.letter_type).inc()
            if event.event_type == "page_view":
                metrics.page_views.labels(metrics.paths(path_of(event.page_url or ""))).inc()
            if event.theme:
                metrics.count_theme_view(event.theme)
        for theme, views in stored.totals.themes:
            metrics.set_theme_views(theme, views)

    async def _until_available(self) -> None:
        """Ask PostgreSQL a few times a second until it answers; callers are refused meanwhile."""
        while not self._closing:
            with contextlib.suppress(StorageUnavailable):
                await self._postgres.write("ping")
                break
            await asyncio.sleep(PROBE_PAUSE_SECONDS)
        self._available = True
        self._metrics.database_up.set(1)
        log.info("PostgreSQL takes events again")

    def _refuse(self, waiting: list[_Waiting], error: Unavailable) -> None:
        for one in waiting:
            self._dropped(DropReason.UNAVAILABLE)
            one.settle(error)

    def _dropped(self, reason: DropReason) -> None:
        self._metrics.events_dropped.labels(reason).inc()


def _unavailable(reason: str, code: str = "database_unavailable") -> Unavailable:
    return Unavailable(f"{reason}; try again soon.", code=code)
