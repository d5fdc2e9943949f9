"""Every Prometheus metric: name, type, labels, help, and the bound on its labels.

Some names are the contract's, the others are for whoever runs the program.
A label value that comes from outside passes through a `BoundedLabel` first.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import time
from typing import TYPE_CHECKING

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

from maicivy import __version__, exposition
from maicivy.labels import OTHER, BoundedLabel, SharedLabel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Literal

    from maicivy.shared import Member

    # How the values of several workers make one; those of the dead leave with them if it is live.
    Way = Literal["livesum", "livemin", "mostrecent", "max", "sum"]

REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STORAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
BATCH_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
CLEANUP_BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 1800)

SAMPLE_SECONDS = 1.0

# `_created` series are no metric of ours; the library has one switch for the whole process.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


def _count_tasks() -> float:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # asked from outside the loop
        return 0


class _Registrar:
    """Makes metrics whose names begin with `maicivy_`, in one registry."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"maicivy_{name}", text, labels, registry=self._registry)

    def gauge(self, name: str, text: str, *labels: str, way: Way) -> Gauge:
        return Gauge(
            f"maicivy_{name}", text, labels, registry=self._registry, multiprocess_mode=way
        )

    def histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"maicivy_{name}", text, labels, buckets=buckets, registry=self._registry)


class Metrics:
    """The metrics of one application, in a registry of their own.

    Those of a worker are kept in files, from which each worker tells the sum of all.
    """

    def __init__(self, member: Member | None = None) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        self._member = member
        self._watched: list[tuple[Gauge, Callable[[], float]]] = []
        if member is None:
            prometheus_client.ProcessCollector(registry=self.registry)
            prometheus_client.PlatformCollector(registry=self.registry)
            prometheus_client.GCCollector(registry=self.registry)
        else:
            exposition.write_into(member.folder, member.slot)
        self.event_types = self._label("event_types")
        self.paths = self._label("paths")
        self.themes = self._label("themes")
        new = _Registrar(self.registry)
        self._visitor_metrics(new)
        self._answer_metrics(new)
        self._ingest_metrics(new)
        self._operation_metrics(new)
        if member is not None:
            self._join(member)

    def _label(self, name: str) -> BoundedLabel:
        member = self._member
        return BoundedLabel() if member is None else SharedLabel(member.folder / f"{name}.labels")

    def _join(self, member: Member) -> None:
        """Make what only workers need."""
        self._files = exposition.Files(member.folder)
        self._families = list(self.registry.collect())
        self.worker_restarts.inc(member.deaths)
        # The views of themes are the same everywhere, those that are counted together are not.
        apart = _Registrar(prometheus_client.CollectorRegistry())
        self._other_themes = apart.gauge(
            "cv_theme_views", "Views of each CV theme.", "theme", way="sum"
        )

    def _visitor_metrics(self, new: _Registrar) -> None:
        """Make the contract's metrics of what visitors do."""
        self.visitors = new.counter("visitors_total", "Visitors seen for the first time.")
        self.letters = new.counter("letters_generated_total", "Letters, by kind.", "type")
        self.events = new.counter("events_total", "Events stored, by type.", "event_type")
        self.page_views = new.counter("page_views_total", "Page views stored, by path.", "path")
        self.current_visitors = new.gauge(
            "current_visitors", "Visitors active in the last 5 minutes.", way="mostrecent"
        )
        self.conversion_rate = new.gauge(
            "conversion_rate",
            "Letters generated today per unique visitor of today.",
            way="mostrecent",
        )
        # The library forbids to add to a gauge of the first way, even when it is alone.
        self.theme_views = self._other_themes = new.gauge(
            "cv_theme_views",
            "Views of each CV theme.",
            "theme",
            way="mostrecent" if self._member else "sum",
        )

    def _answer_metrics(self, new: _Registrar) -> None:
        """Make the contract's metrics of how the program answers."""
        self.websocket_connections = new.gauge(
            "websocket_connections", "WebSocket clients connected now.", way="livesum"
        )
        self.request_duration = new.histogram(
            "analytics_request_duration_seconds",
            "Time to answer an analytics request.",
            REQUEST_BUCKETS,
            "endpoint",
            "method",
            "status",
        )
        self._requests: dict[tuple[str, str, int], Histogram] = {}
        self.redis_duration = new.histogram(
            "redis_operation_duration_seconds",
            "Time of a Redis operation.",
            STORAGE_BUCKETS,
            "operation",
        )
        self.query_duration = new.histogram(
            "database_query_duration_seconds",
            "Time of a PostgreSQL statement.",
            STORAGE_BUCKETS,
            "query_type",
        )

    def _ingest_metrics(self, new: _Registrar) -> None:
        """Make the operator's metrics of the way in."""
        self.events_received = new.counter(
            "events_received_total", "Events that came in, whatever became of them."
        )
        self.events_dropped = new.counter(
            "events_dropped_total", "Events not stored, by reason.", "reason"
        )
        self.queue_depth = new.gauge(
            "ingest_queue_depth", "Events that wait for a commit.", way="livesum"
        )
        self.batch_size = new.histogram("ingest_batch_size", "Events in one commit.", BATCH_BUCKETS)
        self.flush_duration = new.histogram(
            "ingest_flush_duration_seconds",
            "Time of one flush: the commit, then the Redis refresh.",
            STORAGE_BUCKETS,
        )

    def _operation_metrics(self, new: _Registrar) -> None:
        """Make the operator's metrics of the servers, the tasks and the build."""
        self.database_up = new.gauge(
            "database_up", "1 while PostgreSQL takes events, else 0.", way="livemin"
        )
        self.database_up.set(1)
        self.redis_up = new.gauge("redis_up", "1 while Redis answers, else 0.", way="livemin")
        self.redis_refills = new.counter(
            "redis_refills_total", "Times that Redis was filled again from PostgreSQL."
        )
        self.pubsub_reconnects = new.counter(
            "pubsub_reconnects_total", "Times that the Pub/Sub connection was made anew."
        )
        self.task_failures = new.counter(
            "background_task_failures_total",
            "Background tasks that failed and were started again.",
            "task",
        )
        self.http_connections = new.gauge(
            "http_connections", "HTTP connections open now.", way="livesum"
        )
        self.connections_cut = new.counter(
            "http_connections_cut_total",
            "HTTP connections cut by the program, by reason.",
            "reason",
        )
        self.messages_skipped = new.counter(
            "websocket_messages_skipped_total",
            "Messages dropped for WebSocket clients that read too slowly.",
        )
        self.events_sampled_out = new.counter(
            "websocket_events_sampled_out_total",
            "Events left out of the live feed because too many came in.",
        )
        self.cleanup_duration = new.histogram(
            "cleanup_duration_seconds", "Time of one cleanup run.", CLEANUP_BUCKETS
        )
        self.cleanup_rows = new.counter(
            "cleanup_rows_total", "Rows that cleanup deleted, by table.", "table"
        )
        self.worker_restarts = new.counter(
            "worker_restarts_total", "Workers that died and were started again."
        )
        tasks = new.gauge(
            "event_loop_tasks", "Tasks of the event loop that have not ended.", way="livesum"
        )
        self.watch(tasks, _count_tasks)
        build = new.gauge(
            "build_info",
            "Always 1; the labels name the versions that run.",
            "version",
            "python",
            way="max",
        )
        build.labels(__version__, platform.python_version()).set(1)

    def observe_request(self, endpoint: str, method: str, status: int, seconds: float) -> None:
        """Observe how long an answer took; all three labels are of closed lists."""
        labels = endpoint, method, status
        child = self._requests.get(labels)
        if child is None:
            child = self._requests[labels] = self.request_duration.labels(*map(str, labels))
        child.observe(seconds)

    def count_theme_view(self, theme: str) -> None:
        """Count a view of a theme that has no label of its own, under `other`."""
        if self.themes(theme) == OTHER:
            self._other_themes.labels(OTHER).inc()

    def set_theme_views(self, theme: str, views: int) -> None:
        """Show the views of a theme that has a label of its own."""
        if self.themes(theme) != OTHER:
            self.theme_views.labels(theme).set(views)

    def watch(self, gauge: Gauge, value: Callable[[], float]) -> None:
        """Have `gauge` show `value()`; that of another worker may be a second old."""
        if self._member is None:
            gauge.set_function(value)
        else:
            self._watched.append((gauge, value))

    async def sample(self) -> None:
        """Note what a worker cannot be asked for by another one, every second, for good."""
        while True:
            for gauge, value in self._watched:
                gauge.set(value())
            await asyncio.sleep(SAMPLE_SECONDS)

    def exposition(self) -> tuple[bytes, str]:
        """Return the scrape's body and its content type."""
        if self._member is None:
            body = prometheus_client.generate_latest(self.registry)
        else:
            body = exposition.render(self._families, self._files.read())
        return body, prometheus_client.CONTENT_TYPE_LATEST

    def counted(self, counter: Counter, *, own: bool = False) -> dict[str, int]:
        """Return what `counter` counted in all workers, by the value of its label, "" without one.

        With `own` it is what was counted in this worker's slot, by its predecessors too.
        """
        if self._member is None:
            [family] = counter.collect()
            return {"".join(sample.labels.values()): int(sample.value) for sample in family.samples}
        slot, [family] = self._member.slot if own else "*", counter.describe()
        values = self._files.read(f"counter_{slot}.db")
        return {
            "".join(sample.label_values): int(value)
            for sample, value in zip(map(exposition.parsed, values), values.values(), strict=True)
            if sample.family == family.name
        }

    def observe_redis(self, operation: str, seconds: float) -> None:
        """Observe how long a Redis operation took."""
        self.redis_duration.labels(operation).observe(seconds)

    @contextlib.contextmanager
    def time_query(self, query_type: str) -> Iterator[None]:
        """Observe how long the PostgreSQL statement in the block takes, failed ones included."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.query_duration.labels(query_type).observe(time.perf_counter() - started)
