"""Every Prometheus metric: name, type, labels, help, and the bound on its labels.

The names of the first group are the contract's; the second group is for whoever runs the program.
A label value that comes from outside passes through a `BoundedLabel` first.
"""

from __future__ import annotations

import platform
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

from maicivy import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LABEL_VALUES = 100
OTHER = "other"

REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STORAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
BATCH_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
CLEANUP_BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 1800)

# `_created` series are no metric of ours; the library has one switch for the whole process.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class BoundedLabel:
    """Lets the first `limit` values that it sees through; every later one becomes `other`."""

    def __init__(self, limit: int = MAX_LABEL_VALUES) -> None:
        self._seen: set[str] = set()
        self._limit = limit

    def __call__(self, value: str) -> str:
        """Return `value` or `other`."""
        if value in self._seen:
            return value
        if len(self._seen) >= self._limit:
            return OTHER
        self._seen.add(value)
        return value


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self.registry)
        prometheus_client.PlatformCollector(registry=self.registry)
        prometheus_client.GCCollector(registry=self.registry)
        self.event_types = BoundedLabel()
        self.paths = BoundedLabel()
        self.themes = BoundedLabel()
        self._contract()
        self._operations()

    def _contract(self) -> None:
        registry = self.registry
        self.visitors = Counter(
            "maicivy_visitors_total", "Visitors seen for the first time.", registry=registry
        )
        self.letters = Counter(
            "maicivy_letters_generated_total",
            "Letters generated, by kind.",
            ["type"],
            registry=registry,
        )
        self.events = Counter(
            "maicivy_events_total", "Events stored, by type.", ["event_type"], registry=registry
        )
        self.page_views = Counter(
            "maicivy_page_views_total", "Page views stored, by path.", ["path"], registry=registry
        )
        self.current_visitors = Gauge(
            "maicivy_current_visitors", "Visitors active in the last 5 minutes.", registry=registry
        )
        self.websocket_connections = Gauge(
            "maicivy_websocket_connections", "WebSocket clients connected now.", registry=registry
        )
        self.conversion_rate = Gauge(
            "maicivy_conversion_rate",
            "Letters generated today per unique visitor of today.",
            registry=registry,
        )
        self.theme_views = Gauge(
            "maicivy_cv_theme_views", "Views of each CV theme.", ["theme"], registry=registry
        )
        self.request_duration = Histogram(
            "maicivy_analytics_request_duration_seconds",
            "Time to answer an analytics request.",
            ["endpoint", "method", "status"],
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self.redis_duration = Histogram(
            "maicivy_redis_operation_duration_seconds",
            "Time of a Redis operation.",
            ["operation"],
            buckets=STORAGE_BUCKETS,
            registry=registry,
        )
        self.query_duration = Histogram(
            "maicivy_database_query_duration_seconds",
            "Time of a PostgreSQL statement.",
            ["query_type"],
            buckets=STORAGE_BUCKETS,
            registry=registry,
        )

    def _operations(self) -> None:
        registry = self.registry
        self.events_dropped = Counter(
            "maicivy_events_dropped_total",
            "Events not stored, by reason.",
            ["reason"],
            registry=registry,
        )
        self.queue_depth = Gauge(
            "maicivy_ingest_queue_depth", "Events that wait for a commit.", registry=registry
        )
        self.batch_size = Histogram(
            "maicivy_ingest_batch_size",
            "Events in one commit.",
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.flush_duration = Histogram(
            "maicivy_ingest_flush_duration_seconds",
            "Time of one flush: the commit, then the Redis refresh.",
            buckets=STORAGE_BUCKETS,
            registry=registry,
        )
        self.redis_refills = Counter(
            "maicivy_redis_refills_total",
            "Times that Redis was filled again from PostgreSQL.",
            registry=registry,
        )
        self.redis_up = Gauge(
            "maicivy_redis_up", "1 while Redis answers, else 0.", registry=registry
        )
        self.database_up = Gauge(
            "maicivy_database_up", "1 while PostgreSQL takes events, else 0.", registry=registry
        )
        self.pubsub_reconnects = Counter(
            "maicivy_pubsub_reconnects_total",
            "Times that the Pub/Sub connection was made anew.",
            registry=registry,
        )
        self.task_failures = Counter(
            "maicivy_background_task_failures_total",
            "Background tasks that failed and were started again.",
            ["task"],
            registry=registry,
        )
        self.messages_skipped = Counter(
            "maicivy_websocket_messages_skipped_total",
            "Messages dropped for WebSocket clients that read too slowly.",
            registry=registry,
        )
        self.cleanup_duration = Histogram(
            "maicivy_cleanup_duration_seconds",
            "Time of one cleanup run.",
            buckets=CLEANUP_BUCKETS,
            registry=registry,
        )
        self.cleanup_rows = Counter(
            "maicivy_cleanup_rows_total",
            "Rows that cleanup deleted, by table.",
            ["table"],
            registry=registry,
        )
        build = Gauge(
            "maicivy_build_info",
            "Always 1; the labels name the versions that run.",
            ["version", "python"],
            registry=registry,
        )
        build.labels(__version__, platform.python_version()).set(1)

    def count_theme_view(self, theme: str) -> None:
        """Count a view of a theme that has no label of its own, under `other`."""
        if self.themes(theme) == OTHER:
            self.theme_views.labels(OTHER).inc()

    def set_theme_views(self, theme: str, views: int) -> None:
        """Show the views of a theme that has a label of its own."""
        if self.themes(theme) != OTHER:
            self.theme_views.labels(theme).set(views)

    def exposition(self) -> tuple[bytes, str]:
        """Return the scrape's body and its content type."""
        body = prometheus_client.generate_latest(self.registry)
        return body, prometheus_client.CONTENT_TYPE_LATEST

    @contextmanager
    def time_redis(self, operation: str) -> Iterator[None]:
        """Observe how long the Redis operation in the block takes, failed ones included."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.redis_duration.labels(operation).observe(time.perf_counter() - started)

    @contextmanager
    def time_query(self, query_type: str) -> Iterator[None]:
        """Observe how long the PostgreSQL statement in the block takes, failed ones included."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.query_duration.labels(query_type).observe(time.perf_counter() - started)
