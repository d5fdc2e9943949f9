"""The Pub/Sub connection: live events and changes in, and pings that prove it is alive.

The library makes the connection, with whatever the URL asks for; what comes through it then is
read here, as soon as it is there, for it costs the library ten times as much.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from redis.exceptions import RedisError

from maicivy.errors import StorageUnavailable
from maicivy.storage import keys
from maicivy.storage.replies import read_value
from maicivy.storage.wire import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis.asyncio

    from maicivy.storage.changes import Changes

CONNECT_SECONDS = 5.0
TICK_SECONDS = 2.0
MISSES = 2

# For those who hand a client over and have no business with the library itself.
RedisClient: TypeAlias = "redis.asyncio.Redis"

_CHANNELS = (keys.CHANNEL.encode(), keys.CHANGED.encode())
# How a message of the first begins, which nearly all are.
_EVENT = b"*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$" % (len(_CHANNELS[0]), _CHANNELS[0])
_PING = b"*1\r\n$4\r\nPING\r\n"


class Listener(Protocol):
    """Who the events are for."""

    def deliver(self, events: Sequence[bytes]) -> None:
        """Take events as they are published (JSON)."""

    def skip(self, count: int) -> None:
        """Hear that so many events were not published, because there are too many."""


async def listen(
    client: redis.asyncio.Redis,
    changes: Changes,
    hub: Listener,
    ready: asyncio.Event,
) -> None:
    """Hand the messages of the live channel to `hub`, and note the changes of other processes.

    `ready` is set while subscribed. A half-open connection delivers nothing and reports nothing, so
    it is pinged; after two pings without an answer, or any other failure, `StorageUnavailable` is
    raised and the caller subscribes anew.
    """
    pool: Any = client.connection_pool
    connection = pool.make_connection()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection.connect()
        # Private: the library has no word for it, and asyncio lets protocols be exchanged.
        transport = cast("asyncio.Transport", connection._writer.transport)  # noqa: SLF001
        subscription = Subscription(transport, changes, hub, ready)
        transport.set_protocol(subscription)
        try:
            await subscription.run()
        finally:
            transport.abort()
    except (RedisError, OSError, TimeoutError, ValueError) as error:
        raise StorageUnavailable(type(error).__name__) from error
    finally:
        ready.clear()
        changes.listen(None)
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await connection.disconnect(nowait=True)


class Subscription(asyncio.Protocol):
    """What comes through one connection, passed on within the same turn of the event loop."""

    def __init__(
        self,
        transport: asyncio.Transport,
        changes: Changes,
        hub: Listener,
        ready: asyncio.Event,
    ) -> None:
        self._transport = transport
        self._changes = changes
        self._hub = hub
        self._ready = ready
        self._held = b""
        self._heard = False
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    async def run(self) -> None:
        """Subscribe, and ping until the connection is lost: `OSError`, `TimeoutError`."""
        self._transport.write(command(b"SUBSCRIBE", *_CHANNELS))
        # Counted, not timed: after a pause of the whole machine there is much to be heard.
        misses = 0
        while misses < MISSES:
            self._heard = False
            self._transport.write(_PING)
            await asyncio.wait([self._ended], timeout=TICK_SECONDS)
            if self._ended.done():
                return self._ended.result()
            misses = 0 if self._heard else misses + 1
        raise TimeoutError

    def unheard(self) -> bool:
        """Say whether something has come, even to the kernel only, that is not passed on yet."""
        return bool(self._held or self._poll.poll(0))

    def data_received(self, data: bytes) -> None:
        """Pass on what is whole."""
        self._heard = True
        data, place = self._held + data, 0
        events: list[bytes] = []
        try:
            while (found := _read_message(data, place)) is not None:
                value, place = found
                if isinstance(value, bytes):
                    events.append(value)
                else:
                    self._take(value)
        except ValueError as error:
            self._end(error)
        self._held = data[place:]
        if events:
            self._hub.deliver(events)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop being relied on, at once."""
        self._ready.clear()
        self._changes.listen(None)
        self._end(exc or ConnectionError("closed"))

    def _take(self, parts: Any) -> None:
        if not isinstance(parts, list):
            raise ValueError("no message of a subscription")  # noqa: TRY004 - as for a broken one
        kind, channel = parts[0], parts[1] if len(parts) > 1 else b""
        if kind == b"message":
            name, _, skipped = parts[2].partition(b" ")
            self._hub.skip(int(skipped or 0))
            if name != self._changes.name:
                self._changes.note()
        elif kind == b"subscribe" and channel == _CHANNELS[1]:
            self._changes.listen(self.unheard)
            self._ready.set()

    def _end(self, error: BaseException) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)
            self._ended.exception()  # nobody may be waiting any more


def _read_message(data: bytes, start: int) -> tuple[Any, int] | None:
    """Return an event or whatever else begins at `start`, and where the next one does.

    None when it is not whole yet; raises `ValueError`.
    """
    if not data.startswith(_EVENT, start):
        return read_value(data, start)
    head = start + len(_EVENT)
    end = data.find(b"\r\n", head)
    if end < 0:
        return None
    event = end + 2
    after = event + int(data[head:end])
    if after < event:
        raise ValueError("no message of a subscription")
    return (data[event:after], after + 2) if len(data) >= after + 2 else None
