"""The ledger of this process: what came in, and what became of each of it.

received = stored + duplicate + bot + opted out + rate limited + invalid + refused + pending.
Whoever ends an event's way enters it here, once; the metrics are told at the same time.
"""

from __future__ import annotations

import collections
import contextlib
import enum
from typing import TYPE_CHECKING, Any

from maicivy.errors import RateLimited, StorageUnavailable
from maicivy.ingest.event import path_of
from maicivy.periods import format_instant

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from maicivy.ingest.event import Event
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


_REFUSALS = (DropReason.QUEUE_FULL, DropReason.UNAVAILABLE, DropReason.REFUSED)


class Ledger:
    """Counts events since `since`, by what became of them."""

    def __init__(self, metrics: Metrics, since: dt.datetime) -> None:
        self._metrics = metrics
        self._since = since
        self._received = 0
        self._stored = 0
        self._dropped: collections.Counter[DropReason] = collections.Counter()

    def receive(self) -> None:
        """Enter an event that came in, whatever it is."""
        self._received += 1
        self._metrics.events_received.inc()

    def store(self, event: Event) -> None:
        """Enter that `event` is a row."""
        self._stored += 1
        metrics = self._metrics
        metrics.events.labels(metrics.event_types(event.event_type)).inc()
        if event.letter_type:
            metrics.letters.labels(event.letter_type).inc()
        if event.event_type == "page_view":
            metrics.page_views.labels(metrics.paths(path_of(event.page_url or ""))).inc()
        if event.theme:
            metrics.count_theme_view(event.theme)

    def drop(self, reason: DropReason) -> None:
        """Enter that an event ends without being stored."""
        self._dropped[reason] += 1
        self._metrics.events_dropped.labels(reason).inc()

    @contextlib.contextmanager
    def refusals(self) -> Iterator[None]:
        """Enter the event as dropped when the block, which checks it, raises."""
        try:
            yield
        except RateLimited:
            self.drop(DropReason.RATE_LIMITED)
            raise
        except StorageUnavailable:
            self.drop(DropReason.UNAVAILABLE)
            raise
        except BaseException:
            self.drop(DropReason.INVALID)
            raise

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
