"""The nightly cleanup at 02:00: closed days are sketched and packed, expired ones deleted."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maicivy.errors import StorageUnavailable
from maicivy.logs import fields
from maicivy.periods import last_run_due, local_day, next_run_at
from maicivy.storage.packing import NOWHERE, Packing
from maicivy.storage.postgres import affected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from zoneinfo import ZoneInfo

    from maicivy.metrics import Metrics
    from maicivy.periods import Clock
    from maicivy.storage.mirror import Mirror
    from maicivy.storage.partitions import Partitions
    from maicivy.storage.postgres import Connection, Postgres
    from maicivy.storage.visits import Visits

log = logging.getLogger(__name__)

# Small enough for the statement timeout: deleting a visitor asks every partition for their events.
BITE_VISITORS = 1_000
BITE_EVENTS = 5_000
SKETCH_DAYS_KEPT = 400
# The longest heatmap, and a day until the next cleanup.
PLACES_KEPT = dt.timedelta(days=8)
RUNS_KEPT = dt.timedelta(days=400)
LONGEST_NAP_SECONDS = 30.0
FAILED_PAUSE_SECONDS = 600.0
LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(slots=True)
class Removed:
    """What a cleanup removed, and how many events it packed."""

    partitions: int = 0
    events: int = 0
    visitors: int = 0
    packed: int = 0


class Cleanup:
    """Removes what is older than the retention; one at a time among all instances."""

    def __init__(
        self,
        *,
        postgres: Postgres,
        partitions: Partitions,
        visits: Visits,
        mirror: Mirror | None,
        metrics: Metrics,
        clock: Clock,
        zone: ZoneInfo,
        retention_days: int,
    ) -> None:
        self._postgres = postgres
        self._partitions = partitions
        self._packing = Packing(postgres, partitions)
        self._visits = visits
        self._mirror = mirror
        self._metrics = metrics
        self._clock = clock
        self._zone = zone
        self._retention = dt.timedelta(days=retention_days)

    async def run(self) -> None:
        """Run every night, and at once when the last night was missed."""
        log.info("Starting analytics cleanup scheduler")
        while True:
            try:
                await self._wait_until_due()
                if await self.run_once(when_due=True) is None:
                    await asyncio.sleep(LONGEST_NAP_SECONDS)
            except StorageUnavailable as error:
                log.warning("cleanup postponed", extra=fields(error=str(error)))
                await asyncio.sleep(FAILED_PAUSE_SECONDS)

    async def _wait_until_due(self) -> None:
        """Sleep until a run is due by the wall clock, in naps, so that a changed clock is seen."""
        while True:
            if await self._due():
                return
            now = self._clock()
            nap = (next_run_at(now, self._zone) - now).total_seconds()
            await asyncio.sleep(min(nap, LONGEST_NAP_SECONDS))

    async def _due(self) -> bool:
        last = await self._postgres.fetch_value("last_cleanup")
        return last is None or bool(last < last_run_due(self._clock(), self._zone))

    async def run_once(
        self, progress: Callable[[str], None] | None = None, *, when_due: bool = False
    ) -> Removed | None:
        """Clean up now; returns None when another instance is at it.

        With `when_due` also when another one was, between the caller's look and the lock. Raises
        `StorageUnavailable` when it could not finish; what was removed stays removed, and the next
        run goes on from there.
        """
        async with self._postgres.reading() as lock:
            [row] = await self._postgres.run(lock, "lock_cleanup")
            if not row[0]:
                log.info("cleanup runs elsewhere")
                return None
            try:
                if when_due and not await self._due():
                    return None
                return await self._logged(progress or (lambda _: None))
            finally:
                await self._unlock(lock)

    async def _unlock(self, lock: Connection) -> None:
        if not lock.is_closed():
            await self._postgres.run(lock, "unlock_cleanup")

    async def _logged(self, progress: Callable[[str], None]) -> Removed:
        removed, now, started = Removed(), self._clock(), time.perf_counter()
        await self._postgres.write("abandon_cleanup_runs")
        [row] = await self._postgres.write("start_cleanup_run", now)
        status, error = "failed", None
        try:
            await self._remove(removed, now, progress)
            status = "done"
        except StorageUnavailable as failure:
            error = str(failure)
            raise
        finally:
            seconds = time.perf_counter() - started
            self._metrics.cleanup_duration.observe(seconds)
            await self._postgres.write(
                "finish_cleanup_run",
                row["id"],
                self._clock(),
                status,
                removed.partitions,
                removed.events,
                removed.visitors,
                removed.packed,
                error,
            )
            log.info(
                "cleanup finished",
                extra=fields(
                    status=status,
                    seconds=round(seconds, 3),
                    partitions=removed.partitions,
                    events=removed.events,
                    visitors=removed.visitors,
                    packed=removed.packed,
                ),
            )
        return removed

    async def _remove(
        self, removed: Removed, now: dt.datetime, progress: Callable[[str], None]
    ) -> None:
        cutoff = now - self._retention
        await self._sketch(progress)
        progress("making partitions ahead")
        await self._partitions.ensure_ahead(now)
        await self._keep_visits(now, progress)
        await self._remove_blocks(removed, cutoff)
        late = await self._drop_partitions(removed, cutoff, progress)
        await self._expire(removed, cutoff, progress)
        await self._expire_places(max(cutoff, now - PLACES_KEPT))
        expired = await self._visits.expire(cutoff, now)
        self._metrics.cleanup_rows.labels("visits").inc(expired)
        async for day, count in self._packing.pack(now):
            removed.packed += count
            progress(f"{count} events of {day} packed")
        oldest_sketch = local_day(now, self._zone) - dt.timedelta(days=SKETCH_DAYS_KEPT)
        await self._postgres.write("delete_expired_sketches", oldest_sketch)
        await self._postgres.write("forget_cleanup_runs", now - RUNS_KEPT)
        if late is not None:
            raise late

    async def _remove_blocks(self, removed: Removed, cutoff: dt.datetime) -> None:
        packed = await self._packing.remove_before(cutoff)
        removed.events += packed
        self._metrics.cleanup_rows.labels("packed_events").inc(packed)

    async def _drop_partitions(
        self, removed: Removed, cutoff: dt.datetime, progress: Callable[[str], None]
    ) -> StorageUnavailable | None:
        """Drop what is expired as a whole; return what was in the way.

        A long reader may be: then the events are deleted one by one, and only the empty partition
        is left to another run.
        """
        progress("dropping expired partitions")
        try:
            removed.partitions = len(await self._partitions.drop_before(cutoff))
        except StorageUnavailable as error:
            return error
        return None

    async def _sketch(self, progress: Callable[[str], None]) -> None:
        """Sketch closed days while their rows are there; without Redis it waits for another run."""
        if self._mirror is None:
            return
        try:
            await self._mirror.sketch_closed_days(progress)
        except StorageUnavailable as error:
            log.warning("closed days not sketched", extra=fields(error=str(error)))

    async def _keep_visits(self, now: dt.datetime, progress: Callable[[str], None]) -> None:
        """Bring visits up to date and pack them; what goes wrong keeps nothing from expiring."""
        progress("bringing visits up to date")
        try:
            packed = await self._visits.fold_and_pack(now)
        except StorageUnavailable as error:
            log.warning("visits not brought up to date", extra=fields(error=str(error)))
        except Exception:
            log.exception("visits not brought up to date")
        else:
            progress(f"{packed} visits packed")

    async def _expire(
        self, removed: Removed, cutoff: dt.datetime, progress: Callable[[str], None]
    ) -> None:
        """Delete events and visitors of before `cutoff`: an event before its visitor."""
        rows = self._metrics.cleanup_rows
        rows.labels("analytics_events").inc(0)
        async for count in self._expired_events(cutoff):
            removed.events += count
            rows.labels("analytics_events").inc(count)
            progress(f"{removed.events} expired events deleted")
        async for count in self._expired_visitors(cutoff):
            removed.visitors += count
            rows.labels("visitors").inc(count)
            progress(f"{removed.visitors} expired visitors deleted")

    async def _expire_places(self, cutoff: dt.datetime) -> None:
        while count := affected(
            await self._postgres.write("delete_expired_places", cutoff, BITE_EVENTS)
        ):
            self._metrics.cleanup_rows.labels("event_places").inc(count)

    # All delete in short transactions, so that nobody waits long for a lock.

    async def _expired_events(self, cutoff: dt.datetime) -> AsyncIterator[int]:
        place = (LONG_AGO, NOWHERE)
        while rows := await self._postgres.write(
            "delete_expired_events", *place, cutoff, BITE_EVENTS
        ):
            place = (rows[0]["created_at"], rows[0]["id"])
            yield rows[0]["events"]
            if not rows[0]["events"]:
                return

    async def _expired_visitors(self, cutoff: dt.datetime) -> AsyncIterator[int]:
        while count := affected(
            await self._postgres.write("delete_expired_visitors", cutoff, BITE_VISITORS)
        ):
            yield count
