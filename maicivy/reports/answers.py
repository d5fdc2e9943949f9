"""Answers that many ask for at once: computed once, and shared as ready bytes.

An answer is shared until something changes, in whichever process, and for a second at most. Nobody
is given one whose computation had begun before they asked and before a change: a GET right after a
201 sees the event. While it cannot be known whether something has changed, because Redis is not
relied on or its messages are not heard, those share an answer that asked before its computation.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maicivy.periods import ONE_DAY, day_start, local_day
from maicivy.reports import stats

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from maicivy.metrics import Metrics
    from maicivy.periods import Period
    from maicivy.reports.source import Source
    from maicivy.storage.realtime import Snapshot

FRESH = dt.timedelta(seconds=1)
_NOW = dt.timedelta()
_LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)
_ETAG_BYTES = 12


@dataclass(slots=True)
class Answer:
    """A successful answer's data, its whole body, and the quoted `ETag` of these bytes.

    `ready` belongs to whoever sends it: what it made of it, for the next one who asks.
    """

    data: Any
    body: bytes
    etag: str
    ready: object = None


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer, the version that it is at least of, and when its computation began."""

    answer: Answer
    version: int
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class _Flight:
    """A computation under way; `landed` is None when whoever ran it was cancelled."""

    version: int
    landed: asyncio.Future[Answer | None]


def answer_of(data: Any, meta: dict[str, Any] | None = None) -> Answer:
    """Return `data` as a successful answer."""
    whole = {"success": True, "data": data}
    if meta is not None:
        whole["meta"] = meta
    return named(data, json.dumps(whole).encode())


def named(data: Any, body: bytes) -> Answer:
    """Return an answer whose `body` is ready already."""
    digest = hashlib.blake2b(body, digest_size=_ETAG_BYTES).hexdigest()
    return Answer(data, body, f'"{digest}"')


class Answers:
    """The answers of the open periods and of now, one computation of each at a time."""

    def __init__(self, source: Source, metrics: Metrics) -> None:
        self._source = source
        self._metrics = metrics
        # One entry for each of the few questions that can be asked.
        self._kept: dict[tuple[str, object], _Kept] = {}
        self._flights: dict[tuple[str, object], _Flight] = {}
        self._today = (_LONG_AGO, _LONG_AGO)

    async def realtime(self) -> Answer:
        """Return the live numbers; raises `StorageUnavailable`, as the others do."""
        return await self._shared(("realtime", None), self._live_numbers)

    async def by_period(self, period: Period) -> Answer:
        """Return the totals of the open day, week or month."""
        return await self._shared(("stats", period), lambda: stats.by_period(self._source, period))

    async def letters(self, period: Period) -> Answer:
        """Return the letters of the open day, week or month."""
        return await self._shared(("letters", period), lambda: stats.letters(self._source, period))

    async def themes(self, limit: int) -> Answer:
        """Return the `limit` most viewed CV themes."""
        return await self._shared(("themes", limit), lambda: stats.themes(self._source, limit))

    def observe(self, snapshot: Snapshot) -> None:
        """Show the live numbers in the metrics."""
        rate = stats.conversion_rate(snapshot.letters_today, snapshot.unique_today)
        self._metrics.current_visitors.set(snapshot.current_visitors)
        self._metrics.conversion_rate.set(rate)

    async def _live_numbers(self) -> dict[str, int]:
        snapshot = await stats.realtime(self._source)
        self.observe(snapshot)
        return stats.snapshot_fields(snapshot)

    async def _shared(
        self, key: tuple[str, object], compute: Callable[[], Awaitable[Any]]
    ) -> Answer:
        now = self._source.clock()
        version = self._version(now)
        while True:
            kept = self._kept.get(key)
            if kept is not None and kept.version >= version and _NOW <= now - kept.at < FRESH:
                return kept.answer
            flight = self._flights.get(key)
            if flight is None:
                return await self._compute(key, compute)
            # One that began before the last change is waited for too, so that there is one only.
            await asyncio.wait([flight.landed])
            if flight.version >= version and (answer := flight.landed.result()) is not None:
                return answer

    async def _compute(
        self, key: tuple[str, object], compute: Callable[[], Awaitable[Any]]
    ) -> Answer:
        landed: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        at = self._source.clock()
        version = self._version(at)
        self._flights[key] = _Flight(version, landed)
        try:
            answer = answer_of(await compute())
        except Exception as error:
            landed.set_exception(error)
            landed.exception()  # perhaps nobody else waits
            raise
        else:
            self._kept[key] = _Kept(answer, version, at)
            landed.set_result(answer)
            return answer
        finally:
            del self._flights[key]
            if not landed.done():
                landed.set_result(None)

    def _version(self, now: dt.datetime) -> int:
        """Return a count that is the same as at an earlier call only if the numbers are."""
        realtime = self._source.realtime
        start, end = self._today
        if not start <= now < end:
            day = local_day(now, self._source.zone)
            self._today = (
                day_start(day, self._source.zone),
                day_start(day + ONE_DAY, self._source.zone),
            )
            realtime.changes.note()
        if not realtime.trusted:
            realtime.changes.note()
        return realtime.changes.count()
