"""The live feed: events from Pub/Sub and a heartbeat, to every connected client.

A client is a bounded queue that its connection empties; one that does not read loses its oldest
messages, is closed when it stays full, and never delays another.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import json
import logging
from typing import TYPE_CHECKING

from maicivy.errors import StorageUnavailable, Unavailable
from maicivy.logs import fields
from maicivy.reports import stats
from maicivy.storage import pubsub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from maicivy.metrics import Metrics
    from maicivy.reports.source import Source
    from maicivy.shared import Seats
    from maicivy.storage.pubsub import RedisClient
    from maicivy.storage.realtime import Snapshot

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
QUEUE_MESSAGES = 512
STALLED_SECONDS = 10.0
RETRY_AFTER_SECONDS = 10
RESUBSCRIBE_PAUSES_SECONDS = (0.1, 0.5, 1.0, 2.0)


class Client:
    """One connection's messages that are still to be sent."""

    def __init__(self, abort: Callable[[], None]) -> None:
        self.abort = abort
        self._messages: collections.deque[str] = collections.deque()
        self._wake = asyncio.Event()
        self._full_since: float | None = None

    def put(self, message: str) -> bool:
        """Queue a message; returns False when the oldest had to be dropped for it."""
        room = len(self._messages) < QUEUE_MESSAGES
        if not room:
            self._messages.popleft()
            if self._full_since is None:
                self._full_since = asyncio.get_running_loop().time()
        self._messages.append(message)
        self._wake.set()
        return room

    def put_first(self, message: str) -> None:
        """Queue a message before those that wait already."""
        self._messages.appendleft(message)
        self._wake.set()

    async def take(self) -> list[str]:
        """Wait for messages and return all that are queued."""
        await self._wake.wait()
        self._wake.clear()
        messages = list(self._messages)
        self._messages.clear()
        self._full_since = None
        return messages

    def stalled(self) -> bool:
        """Say whether the queue has been full for too long."""
        since = self._full_since
        return since is not None and asyncio.get_running_loop().time() - since > STALLED_SECONDS


class Hub:
    """All connected clients, and what is sent to them."""

    def __init__(
        self,
        source: Source,
        metrics: Metrics,
        seats: Seats,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._source = source
        self._metrics = metrics
        self._seats = seats
        self._heartbeat_seconds = heartbeat_seconds
        self._clients: set[Client] = set()
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
        self._clients.add(client)
        self._count_clients()
        log.info("WebSocket client connected", extra=fields(clients=len(self._clients)))
        return client

    def disconnect(self, client: Client) -> None:
        """Give the client's place back."""
        if client in self._clients:
            self._clients.discard(client)
            self._seats.give_back()
            self._count_clients()
            log.info("WebSocket client disconnected", extra=fields(clients=len(self._clients)))

    def broadcast(self, messages: Iterable[str]) -> None:
        """Queue `messages` for every client, in order."""
        for message in messages:
            skipped = sum(not client.put(message) for client in self._clients)
            if skipped:
                self._metrics.messages_skipped.inc(skipped)

    def observe(self, snapshot: Snapshot) -> None:
        """Show the live numbers in the metrics."""
        rate = stats.conversion_rate(snapshot.letters_today, snapshot.unique_today)
        self._metrics.current_visitors.set(snapshot.current_visitors)
        self._metrics.conversion_rate.set(rate)

    async def stats_message(self, kind: str) -> str:
        """Return a message of `kind` with the live numbers; raises `StorageUnavailable`."""
        snapshot = await stats.realtime(self._source)
        self.observe(snapshot)
        return json.dumps({"type": kind, "data": snapshot_fields(snapshot)})

    async def run_heartbeat(self) -> None:
        """Send the live numbers to everybody every 5 s, from one computation."""
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        while True:
            try:
                self.broadcast([await self.stats_message("heartbeat")])
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
                await pubsub.listen(client, self._deliver, self.subscribed)
            except StorageUnavailable as error:
                failures = failures + 1 if loop.time() - started < STALLED_SECONDS else 0
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

    def _deliver(self, messages: Sequence[str]) -> None:
        self.broadcast(messages)

    async def _show_themes(self) -> None:
        with contextlib.suppress(StorageUnavailable):
            for row in await stats.themes(self._source, limit=100):
                self._metrics.set_theme_views(row["theme"], row["views"])

    def _count_clients(self) -> None:
        self._metrics.websocket_connections.set(len(self._clients))


def snapshot_fields(snapshot: Snapshot) -> dict[str, int]:
    """Return the live numbers as the contract names them."""
    values = dataclasses.asdict(snapshot)
    del values["day"]
    return values
