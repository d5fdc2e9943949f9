"""The ledger of this process: what came in, and what became of each of it.

received = stored + duplicate + bot + opted out + rate limited + invalid + refused + pending.
Whoever ends an event's way enters it here, once; the metrics are told at the same time.
"""

from __future__ import annotations

import collections
import enum
from typing import TYPE_CHECKING, Any

from maicivy.errors import RateLimited, StorageUnavailable
from maicivy.ingest.event import path_of
from maicivy.metrics import OTHER
from maicivy.periods import format_instant

if TYPE_CHECKING:
    import datetime as dt

    from prometheus_client import Counter

    from maicivy.ingest.event import Event
    from maicivy.metrics import BoundedLabel, Metrics


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


_REFUSALS = (DropReason.QUEUE_FULL, DropReason.UNAVAILABLE, DropReason.REFUSED)


class Ledger:
    """Counts events since `since`, by what became of them."""

    def __init__(self, metrics: Metrics, since: dt.datetime) -> None:
        self._metrics = metrics
        self._since = since
        self._received = 0
        self._stored = 0
        self._dropped: collections.Counter[DropReason] = collections.Counter()
        # The metrics of the values that have labels of their own, which are bounded.
        self._of_type: dict[str, Counter] = {}
        self._of_path: dict[str, Counter] = {}

    def receive(self) -> None:
        """Enter an event that came in, whatever it is."""
        self._received += 1
        self._metrics.events_received.inc()

    def store(self, event: Event) -> None:
        """Enter that `event` is a row."""
        self._stored += 1
        metrics, kind = self._metrics, event.event_type
        counter = self._of_type.get(kind)
        (counter or _child(self._of_type, metrics.events, metrics.event_types, kind)).inc()
        if kind == "page_view":
            path = path_of(event.page_url or "")
            counter = self._of_path.get(path)
            (counter or _child(self._of_path, metrics.page_views, metrics.paths, path)).inc()
        if event.letter_type:
            metrics.letters.labels(event.letter_type).inc()
        if event.theme:
            metrics.count_theme_view(event.theme)

    def drop(self, reason: DropReason) -> None:
        """Enter that an event ends without being stored."""
        self._dropped[reason] += 1
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
        dropped = self._dropped
        ended = self._stored + dropped.total()
        return {
            "since": format_instant(self._since),
            "received": self._received,
            "stored": self._stored,
            "duplicate": dropped[DropReason.DUPLICATE],
            "bot": dropped[DropReason.BOT],
            "opted_out": dropped[DropReason.OPT_OUT],
            "rate_limited": dropped[DropReason.RATE_LIMITED],
            "invalid": dropped[DropReason.INVALID],
            "refused": sum(dropped[reason] for reason in _REFUSALS),
            "pending": self._received - ended,
            "refused_by_reason": {reason.value: dropped[reason] for reason in _REFUSALS},
        }


def _child(kept: dict[str, Counter], metric: Counter, label: BoundedLabel, value: str) -> Counter:
    """Return the metric of `value`, and keep it if it has a label of its own."""
    shown = label(value)
    child = metric.labels(shown)
    if shown != OTHER:
        kept[value] = child
    return child
