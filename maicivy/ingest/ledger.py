"""The ledger of the program: what came in, and what became of each of it.

received = stored + duplicate + bot + opted out + rate limited + invalid + refused + pending.
Whoever ends an event's way enters it here, once. The metrics keep the sums, those of all workers.
"""

from __future__ import annotations

import collections
import enum
from typing import TYPE_CHECKING, Any

from maicivy.errors import RateLimited, StorageUnavailable
from maicivy.ingest.event import path_of
from maicivy.labels import OTHER
from maicivy.periods import format_instant

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from prometheus_client import Counter

    from maicivy.ingest.event import Event
    from maicivy.labels import BoundedLabel
    from maicivy.metrics import Metrics


class DropReason(enum.StrEnum):
    """Why an event was not stored; the closed list behind `maicivy_events_dropped_total`."""

    OPT_OUT = "opt_out"
    BOT = "bot"
    RATE_LIMITED = "rate_limited"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    QUEUE_FULL = "queue_full"
    UNAVAILABLE = "database_unavailable"
    REFUSED = "refused_by_database"
    WORKER_DIED = "worker_died"


_REFUSALS = (
    DropReason.QUEUE_FULL,
    DropReason.UNAVAILABLE,
    DropReason.REFUSED,
    DropReason.WORKER_DIED,
)


class Ledger:
    """Counts events since `since`, by what became of them."""

    def __init__(self, metrics: Metrics, since: dt.datetime) -> None:
        self._metrics = metrics
        self._since = since
        # The metrics of the values that have labels of their own, which are bounded.
        self._of_type: dict[str, Counter] = {}
        self._of_path: dict[str, Counter] = {}

    def receive(self, count: int = 1) -> None:
        """Enter events that came in, whatever they are."""
        self._metrics.events_received.inc(count)

    def store(self, events: Sequence[Event]) -> None:
        """Enter that `events` are rows."""
        metrics = self._metrics
        for kind, count in collections.Counter([event.event_type for event in events]).items():
            child = self._of_type.get(kind)
            (child or _child(self._of_type, metrics.events, metrics.event_types, kind)).inc(count)
        urls = collections.Counter(
            [event.page_url or "" for event in events if event.event_type == "page_view"]
        )
        for url, count in urls.items():
            path = path_of(url)
            child = self._of_path.get(path)
            (child or _child(self._of_path, metrics.page_views, metrics.paths, path)).inc(count)
        for event in events:
            if event.letter_type:
                metrics.letters.labels(event.letter_type).inc()
            if event.theme:
                metrics.count_theme_view(event.theme)

    def drop(self, reason: DropReason) -> None:
        """Enter that an event ends without being stored."""
        self._metrics.events_dropped.labels(reason).inc()

    def refuse(self, error: BaseException) -> None:
        """Enter that an event ends because its check raised `error`."""
        if isinstance(error, RateLimited):
            self.drop(DropReason.RATE_LIMITED)
        elif isinstance(error, StorageUnavailable):
            self.drop(DropReason.UNAVAILABLE)
        else:
            self.drop(DropReason.INVALID)

    def summary(self) -> dict[str, Any]:
        """Return the sums by outcome; `pending` are those whose way has not ended yet."""
        received, stored, counts = self._sums()
        dropped = {reason: counts.get(reason.value, 0) for reason in DropReason}
        return {
            "since": format_instant(self._since),
            "received": received,
            "stored": stored,
            "duplicate": dropped[DropReason.DUPLICATE],
            "bot": dropped[DropReason.BOT],
            "opted_out": dropped[DropReason.OPT_OUT],
            "rate_limited": dropped[DropReason.RATE_LIMITED],
            "invalid": dropped[DropReason.INVALID],
            "refused": sum(dropped[reason] for reason in _REFUSALS),
            "pending": received - stored - sum(dropped.values()),
            "refused_by_reason": {reason.value: dropped[reason] for reason in _REFUSALS},
        }

    def close_predecessor(self) -> None:
        """Enter what a worker of this slot had under way when it died; it may be stored."""
        received, stored, dropped = self._sums(own=True)
        for _ in range(received - stored - sum(dropped.values())):
            self.drop(DropReason.WORKER_DIED)

    def _sums(self, *, own: bool = False) -> tuple[int, int, dict[str, int]]:
        """Return what was received, what was stored, and what was dropped by reason.

        What came in is read last: other workers go on meanwhile, and no event ends before.
        """
        metrics = self._metrics
        stored = sum(metrics.counted(metrics.events, own=own).values())
        dropped = metrics.counted(metrics.events_dropped, own=own)
        received = sum(metrics.counted(metrics.events_received, own=own).values())
        return received, stored, dropped


def _child(kept: dict[str, Counter], metric: Counter, label: BoundedLabel, value: str) -> Counter:
    """Return the metric of `value`, and keep it if it has a label of its own."""
    shown = label(value)
    child = metric.labels(shown)
    if shown != OTHER:
        kept[value] = child
    return child
