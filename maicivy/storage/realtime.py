"""Redis on the hot path: the copy that is refreshed after each commit and read by the reports.

Every write can be repeated without harm: counters are told their absolute value and keep the
larger one, the rest is idempotent by nature. Every wait is bounded; while Redis is away callers
are refused at once. What is read counts only while `trusted` holds: this process has seen that
Redis is the copy of this database and knows of no write that it missed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError

from maicivy.errors import NotTried, StorageUnavailable
from maicivy.periods import Period, local_day
from maicivy.storage import epochs, keys
from maicivy.storage.breaker import Breaker
from maicivy.storage.changes import Changes
from maicivy.storage.refresh import REFRESH, News, refresh_arguments
from maicivy.storage.totals import expected_sketches
from maicivy.storage.wire import Wire

if TYPE_CHECKING:
    import datetime as dt
    import uuid
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    import redis.asyncio

    from maicivy.metrics import Metrics
    from maicivy.storage.totals import Totals

HOT_DEADLINE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The live numbers of one instant; `day` is the local day they belong to."""

    day: dt.date
    current_visitors: int
    unique_today: int
    total_events: int
    letters_today: int
    timestamp: int


class Realtime:
    """The live numbers in Redis; see the module's description for what may be relied on."""

    def __init__(self, client: redis.asyncio.Redis, metrics: Metrics, zone: ZoneInfo) -> None:
        self._client = client
        self._wire = Wire(client)
        self._metrics = metrics
        self._zone = zone
        self._breaker = Breaker()
        self._shown_up = False
        self.changes = Changes()
        self._missed = 0
        self.lost_keys = False
        self._strays = 0
        self.epoch: bytes | None = None
        self.trusted = False
        self.distrusted = asyncio.Event()

    @property
    def up(self) -> bool:
        """Whether the last call was answered."""
        return self._breaker.closed

    def distrust(self) -> None:
        """Note that Redis may have missed a write, and stop relying on its numbers."""
        self._missed += 1
        self._suspect()

    def _suspect(self) -> None:
        """Stop relying on the numbers in Redis until somebody has looked."""
        self.trusted = False
        self.distrusted.set()
        self.changes.note()

    def missed(self) -> int:
        """Return a count that grows with each call of `distrust`, for `trust`."""
        return self._missed

    def strays(self) -> int:
        """Return a count that grows when a write may have put back who was forgotten meanwhile."""
        return self._strays

    def expect(self, epoch: bytes) -> None:
        """Note what a good copy is marked with from now on."""
        self.epoch = epoch

    def trust(self, epoch: bytes, missed: int) -> None:
        """Rely on Redis again, unless it missed something since `missed` was read."""
        self.epoch = epoch
        if missed == self._missed:
            self.trusted = True
            self.changes.note()
            self.lost_keys = False
            self.distrusted.clear()

    async def run(self, operation: str, script: str, *values: object) -> Any:
        """Return what a script returns for `values`, its ARGV; raises `StorageUnavailable`."""
        try:
            return await self._run(operation, script, *values)
        except ResponseError as error:
            raise self._failed(error) from error

    async def _run(self, operation: str, script: str, *values: object) -> Any:
        """Run a script; `ResponseError` says that it failed, and that Redis is there."""
        [reply] = await self._ask(operation, ("EVAL", script, 0, *values))
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    async def _ask(self, operation: str, *commands: Sequence[object]) -> list[Any]:
        """Return the answers to `commands`, each `ResponseError` among them."""
        if not self._breaker.allow():
            raise NotTried("Redis is away")
        started = time.perf_counter()
        try:
            replies = await self._wire.ask(*commands)
            for reply in replies:
                if isinstance(reply, RedisError) and not isinstance(reply, ResponseError):
                    raise reply
        except (RedisError, OSError) as error:
            raise self._failed(error) from error
        finally:
            self._metrics.observe_redis(operation, time.perf_counter() - started)
        self._answered()
        return replies

    def _answered(self) -> None:
        self._breaker.succeeded()
        if not self._shown_up:
            self._shown_up = True
            self._metrics.redis_up.set(1)

    def _failed(self, error: Exception) -> StorageUnavailable:
        """Note that Redis did not answer; return what tells of it."""
        self._wire.drop()
        self._breaker.failed()
        self._shown_up = False
        self._metrics.redis_up.set(0)
        self.distrust()
        return StorageUnavailable(type(error).__name__)

    def close(self) -> None:
        """Close the connection that scripts have of their own."""
        self._wire.drop()

    async def refresh(
        self, totals: Totals, news: News, now: dt.datetime, believed: bytes | None
    ) -> Snapshot | None:
        """Tell Redis what a commit changed, publish its news, and read the live numbers.

        `believed` is the epoch that was expected before the commit. Returns None when the numbers
        read are not to be relied on. Raises `StorageUnavailable`.
        """
        today = local_day(now, self._zone)
        count = len(news.messages) + news.skipped
        expected = [keys.EPOCH, *expected_sketches(totals, today, count)]
        told = refresh_arguments(totals, news.messages, expected, now, today)
        told += [keys.CHANGED, self.changes.name + (b" %d" % news.skipped if news.skipped else b"")]
        try:
            there, *replies, heard = await self._run("refresh", REFRESH, *told)
        except ResponseError:
            # such as a Redis that is full: it is not away, but this write is missing
            self.distrust()
            return None
        await self._passed_on(heard)
        self.changes.note()
        if there < len(expected) and self.trusted:
            # Somebody deleted keys of ours, and what was just written is all that they hold now.
            self.lost_keys = True
            self.distrust()
        replies = [replies[:3], *replies[3:]]
        self._notice_strays(replies[0], believed)
        return self._snapshot(replies, now, today)

    async def _passed_on(self, heard: int) -> None:
        """Return when a change that `heard` subscribers hear of is in their sockets.

        Redis writes to them in the turn in which it answers, perhaps after its answer; what it
        answers then belongs to a later turn.
        """
        if self.changes.concerns_others(heard):
            try:
                await self._wire.ask(("PING",))
            except (RedisError, OSError) as error:
                raise self._failed(error) from error

    def _notice_strays(self, reply: Any, believed: bytes | None) -> None:
        """See, from an MGET of the epoch after the writes, whose copy they went into."""
        if isinstance(reply, Exception) or epochs.strayed(reply[0], believed):
            self._strays += 1
            self._suspect()

    async def snapshot(self, now: dt.datetime) -> Snapshot | None:
        """Return the live numbers, or None when they are not to be relied on."""
        today = local_day(now, self._zone)
        active_since = f"({now.timestamp() - keys.ACTIVE_SECONDS}"
        replies = await self._ask(
            "snapshot",
            ("MGET", keys.EPOCH, *_counters(Period.DAY, today)),
            ("ZCOUNT", keys.ACTIVE, active_since, "+inf"),
            ("PFCOUNT", keys.unique_visitors(Period.DAY, today)),
        )
        return self._snapshot(replies, now, today)

    def _snapshot(self, replies: list[Any], now: dt.datetime, today: dt.date) -> Snapshot | None:
        if not self._relied_on(replies):
            return None
        (_, events, letters), current, unique = replies
        return Snapshot(
            day=today,
            current_visitors=int(current),
            unique_today=int(unique),
            total_events=int(events or 0),
            letters_today=int(letters or 0),
            timestamp=int(now.timestamp()),
        )

    def _relied_on(self, replies: list[Any]) -> bool:
        """Say whether replies that begin with an MGET of the epoch are those of a trusted copy."""
        if any(isinstance(reply, Exception) for reply in replies) or replies[0][0] != self.epoch:
            self._suspect()
        return self.trusted

    async def period(self, period: Period, start: dt.date) -> tuple[int, int] | None:
        """Return events and letters of a period, or None when not to be relied on."""
        replies = await self._ask("mget", ("MGET", keys.EPOCH, *_counters(period, start)))
        if not self._relied_on(replies):
            return None
        _, events, letters = replies[0]
        return int(events or 0), int(letters or 0)

    async def unique_visitors(self, period: Period, start: dt.date) -> int | None:
        """Return the estimated number of unique visitors of a period, or None as `period` does."""
        sketch = keys.unique_visitors(period, start)
        replies = await self._ask("pfcount", ("MGET", keys.EPOCH), ("PFCOUNT", sketch))
        return int(replies[1]) if self._relied_on(replies) else None

    async def forget(self, visitor_id: uuid.UUID) -> None:
        """Take somebody out of the active set, and the trust in the copy from every process.

        Deleting works in a Redis that is full, too.
        """
        replies = await self._ask(
            "forget",
            ("DEL", keys.EPOCH),
            ("ZREM", keys.ACTIVE, visitor_id),
            ("PUBLISH", keys.CHANGED, self.changes.name),
        )
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise self._failed(reply) from reply
        await self._passed_on(replies[-1])

    async def themes(self, limit: int) -> list[tuple[str, int]] | None:
        """Return the most viewed themes, or None when not to be relied on."""
        ranking = ("ZREVRANGE", keys.THEMES, 0, limit - 1, "WITHSCORES")
        replies = await self._ask("zrevrange", ("MGET", keys.EPOCH), ranking)
        if not self._relied_on(replies):
            return None
        themes, views = replies[1][::2], replies[1][1::2]
        return [(theme.decode(), int(count)) for theme, count in zip(themes, views, strict=True)]

    async def ping(self) -> None:
        """Prove that Redis answers, whatever the breaker believes."""
        try:
            async with asyncio.timeout(HOT_DEADLINE_SECONDS):
                await self._client.ping()
        except (RedisError, OSError, TimeoutError) as error:
            raise StorageUnavailable(type(error).__name__) from error


def _counters(period: Period, start: dt.date) -> list[str]:
    return [keys.stat(period, start, name) for name in (keys.TOTAL_EVENTS, keys.LETTERS)]
