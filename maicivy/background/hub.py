"""The live feed: events from Pub/Sub and a heartbeat, to every connected client.

A message is made ready once and written to each client; what comes in meanwhile goes out together
in the next round. One that does not read has a bounded queue, loses its oldest messages, is closed
when it stays full, and never delays another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING

from maicivy.background.clients import Client, text_frame
from maicivy.errors import StorageUnavailable, Unavailable
from maicivy.ingest.sampling import EVENTS_PER_SECOND, Sampler
from maicivy.logs import fields
from maicivy.reports import stats
from maicivy.storage import pubsub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from maicivy.metrics import Metrics
    from maicivy.reports.answers import Answers
    from maicivy.reports.source import Source
    from maicivy.shared import Seats
    from maicivy.storage.pubsub import RedisClient

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
# How many clients are written to before others have their turn on the event loop.
SLICE_CLIENTS = 200
RETRY_AFTER_SECONDS = 10
STEADY_SECONDS = 10.0
RESUBSCRIBE_PAUSES_SECONDS = (0.1, 0.5, 1.0, 2.0)


class Hub:
    """All connected clients, and what is sent to them."""

    def __init__(
        self,
        source: Source,
        answers: Answers,
        metrics: Metrics,
        seats: Seats,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._source = source
        self._answers = answers
        self._metrics = metrics
        self._seats = seats
        self._heartbeat_seconds = heartbeat_seconds
        # In the order in which they came; the values are of no use.
        self._clients: dict[Client, None] = {}
        self._outbox: list[bytes] = []
        self._waiting = asyncio.Event()
        self._sampler = Sampler(EVENTS_PER_SECOND, asyncio.get_running_loop().time())
        self._sampled_out = 0
        self.subscribed = asyncio.Event()

    def connect(self, abort: Callable[[], None]) -> Client:
        """Return a place for a new client; raises `Unavailable` when all are taken.

        `abort` must close the client's connection without waiting.
        """
        if not self._seats.take():
            raise Unavailable(
                f"All {self._seats.limit} WebSocket connections are taken; try again later.",
                code="too_many_connections",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        client = Client(abort)
        self._clients[client] = None
        self._count_clients()
        log.info("WebSocket client connected", extra=fields(clients=len(self._clients)))
        return client

    def disconnect(self, client: Client) -> None:
        """Give the client's place back."""
        if client in self._clients:
            del self._clients[client]
            self._seats.give_back()
            self._count_clients()
            log.info("WebSocket client disconnected", extra=fields(clients=len(self._clients)))

    def deliver(self, events: Sequence[bytes]) -> None:
        """Send events to every client; beyond 200 a second only the latest of them."""
        passed = self._sampler.take(len(events), asyncio.get_running_loop().time())
        self.skip(len(events) - passed)
        if passed:
            self.broadcast(events[-passed:])

    def skip(self, count: int) -> None:
        """Tell every client with the next heartbeat that events were left out."""
        if count:
            self._sampled_out += count
            self._metrics.events_sampled_out.inc(count)

    def deliver_own(self, events: Sequence[str], skipped: int) -> None:
        """Send events of this process that could not be published, as a sample of all."""
        self.skip(skipped)
        self.deliver([event.encode() for event in events])

    def broadcast(self, messages: Iterable[bytes]) -> None:
        """Send `messages` to every client, in order."""
        self._outbox += map(text_frame, messages)
        self._waiting.set()

    async def run_rounds(self) -> None:
        """Send all that has come in meanwhile to all clients, a slice of them at a time."""
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            frames, self._outbox = self._outbox, []
            joined, clients = b"".join(frames), list(self._clients)
            for start in range(0, len(clients), SLICE_CLIENTS):
                if start:
                    await asyncio.sleep(0)
                self._send(clients[start : start + SLICE_CLIENTS], frames, joined)

    async def stats_message(self, kind: str, **extra: int) -> bytes:
        """Return a message of `kind` with the live numbers; raises `StorageUnavailable`."""
        numbers = (await self._answers.realtime()).data
        return json.dumps({"type": kind, "data": numbers, **extra}).encode()

    async def run_heartbeat(self) -> None:
        """Send the live numbers to everybody every 5 s, from one computation."""
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        while True:
            try:
                await self._beat()
            except StorageUnavailable as error:
                log.warning("no numbers for the heartbeat", extra=fields(error=str(error)))
            await self._show_themes()
            for client in [client for client in self._clients if client.stalled()]:
                log.info("WebSocket client does not read and is closed")
                client.abort()
            next_at = max(next_at + self._heartbeat_seconds, loop.time())
            await asyncio.sleep(next_at - loop.time())

    async def run_subscription(self, client: RedisClient) -> None:
        """Pass events from Pub/Sub on, subscribing anew whenever the connection is lost."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started = loop.time()
            try:
                await pubsub.listen(client, self._source.realtime.changes, self, self.subscribed)
            except StorageUnavailable as error:
                failures = failures + 1 if loop.time() - started < STEADY_SECONDS else 0
                log.warning("Pub/Sub connection lost", extra=fields(error=str(error)))
            self._metrics.pubsub_reconnects.inc()
            last = len(RESUBSCRIBE_PAUSES_SECONDS) - 1
            await asyncio.sleep(RESUBSCRIBE_PAUSES_SECONDS[min(failures, last)])

    async def close(self) -> None:
        """Forget every client."""
        for _ in self._clients:
            self._seats.give_back()
        self._clients.clear()
        self._count_clients()

    async def _beat(self) -> None:
        """Send the live numbers, and how many events were left out since the last time."""
        skipped, extra = self._sampled_out, {}
        if skipped:
            extra["skipped_events"] = skipped
        self.broadcast([await self.stats_message("heartbeat", **extra)])
        self._sampled_out -= skipped

    def _send(self, clients: Sequence[Client], frames: Sequence[bytes], joined: bytes) -> None:
        dropped = sum(client.send(frames, joined) for client in clients)
        if dropped:
            self._metrics.messages_skipped.inc(dropped)

    async def _show_themes(self) -> None:
        with contextlib.suppress(StorageUnavailable):
            for row in await stats.themes(self._source, limit=100):
                self._metrics.set_theme_views(row["theme"], row["views"])

    def _count_clients(self) -> None:
        self._metrics.websocket_connections.set(len(self._clients))
