"""Where maicivy is not as its founding document says: what, why; the only list of it.

A test that compares something with the document makes a `Subject` and lets it `check` what it
found. It fails when something is found that is not listed here, and when something is listed here
that is not found any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from tests.contract.shapes import ABSENT, Difference

if TYPE_CHECKING:
    from collections.abc import Iterable


class Deviation(NamedTuple):
    """The subject that finds it, the place, the document's word, ours, and the reason."""

    subject: str
    what: str
    says: str
    true: str
    reason: str


_TIMESTAMPTZ = "An instant without a zone means another one on each server."
_ISO_WEEK = "ISO 8601: 2025-12-08 is a Monday and begins week 50; W49 is a slip."
_PARTITIONED = "The key of a table partitioned by created_at has to contain it."
_NO_SEARCH = "Nothing searches events by type: counts by type are rollups."

_GO_FILE = "Names a Go file of the first implementation."
_GO_COMMAND = "Runs the Go tests of the first implementation."
_SUMMARY = "Sums up what later sections say in detail, and what is held there."
_MEASURED = "A figure for a machine at rest and minutes of load: bench/ measures it."

DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        "GET /letters",
        "data.history",
        ABSENT,
        "array",
        "A chart needs the days as well as their sum: one entry for each, zeros included.",
    ),
    Deviation(
        "GET /timeline",
        "meta.next_cursor",
        ABSENT,
        "null",
        "Pages by offset shift while events arrive; null when there is no older page.",
    ),
    Deviation(
        "Redis keys",
        "analytics:visitors:unique:week:2025-W49",
        "analytics:visitors:unique:week:2025-W49",
        "analytics:visitors:unique:week:2025-W50",
        _ISO_WEEK,
    ),
    Deviation(
        "Redis keys",
        "analytics:stats:week:2025-W49:total_events",
        "analytics:stats:week:2025-W49:total_events",
        "analytics:stats:week:2025-W50:total_events",
        _ISO_WEEK,
    ),
    Deviation(
        "Redis keys",
        "analytics:stats:week:2025-W50:letters_generated",
        ABSENT,
        "a key",
        "The conversion rate of /stats and /letters needs it for every period.",
    ),
    Deviation(
        "Redis keys",
        "analytics:stats:month:2025-12:letters_generated",
        ABSENT,
        "a key",
        "The conversion rate of /stats and /letters needs it for every period.",
    ),
    Deviation(
        "Redis keys",
        "analytics:epoch",
        ABSENT,
        "a key",
        "Says whose copy Redis holds, so that a lost or foreign copy is seen.",
    ),
    Deviation(
        "Redis types",
        "analytics:realtime:visitors",
        "set",
        "zset",
        "Scored by last activity; a set with one TTL forgets nobody while anybody is active.",
    ),
    Deviation(
        "Redis loss",
        "FLUSHDB",
        "perte data",
        "nothing is lost",
        "Redis is a copy of PostgreSQL and is filled again within a heartbeat.",
    ),
    Deviation(
        "PostgreSQL columns",
        "created_at",
        "timestamp without time zone NOT NULL DEFAULT now()",
        "timestamp with time zone NOT NULL DEFAULT now()",
        _TIMESTAMPTZ,
    ),
    Deviation(
        "PostgreSQL columns",
        "updated_at",
        "timestamp without time zone NOT NULL DEFAULT now()",
        "timestamp with time zone NOT NULL DEFAULT now()",
        _TIMESTAMPTZ,
    ),
    Deviation(
        "PostgreSQL columns",
        "deleted_at",
        "timestamp without time zone",
        "timestamp with time zone",
        _TIMESTAMPTZ,
    ),
    Deviation(
        "PostgreSQL constraints",
        "PRIMARY",
        "PRIMARY KEY (id)",
        "PRIMARY KEY (created_at, id)",
        _PARTITIONED,
    ),
    Deviation(
        "PostgreSQL indexes",
        "idx_analytics_events_created_at",
        "btree (created_at DESC)",
        ABSENT,
        "The primary key begins with created_at and serves as well.",
    ),
    Deviation(
        "PostgreSQL indexes",
        "idx_analytics_events_event_type",
        "btree (event_type)",
        ABSENT,
        _NO_SEARCH,
    ),
    Deviation(
        "PostgreSQL indexes",
        "idx_analytics_events_type_date",
        "btree (event_type, created_at DESC)",
        ABSENT,
        _NO_SEARCH,
    ),
    Deviation(
        "PostgreSQL partitions",
        "Partitioning",
        "si > 100M events",
        "always",
        "Retention is then a DROP, and needs no vacuum.",
    ),
    Deviation(
        "Privacy",
        "ip_hash",
        "SHA-256",
        "HMAC-SHA-256 with the key of the day",
        "A plain hash of an IPv4 address is reversed in seconds by trying all of them.",
    ),
)

# Passages that no test holds, by their first line, and why.
NOT_HELD: dict[str, str] = {
    "**AnalyticsService** (`internal/services/analytics.go`)": _GO_FILE,
    "**AnalyticsHandler** (`internal/api/analytics.go`)": _GO_FILE,
    "**AnalyticsWSHandler** (`internal/websocket/analytics.go`)": _GO_FILE,
    "**Analytics Middleware** (`internal/middleware/analytics.go`)": _GO_FILE,
    "**Prometheus Metrics** (`internal/metrics/analytics.go`)": _GO_FILE,
    "**Cleanup Job** (`internal/jobs/analytics_cleanup.go`)": _GO_FILE,
    "Collecter et agréger les événements utilisateurs en temps réel": _SUMMARY,
    "Fournir des statistiques via API REST et WebSocket": _SUMMARY,
    "Exposer des métriques Prometheus pour monitoring": _SUMMARY,
    "Gérer la rétention des données avec cleanup automatique": _SUMMARY,
    "Service central de gestion analytics": _SUMMARY,
    "API REST pour récupérer statistiques": _SUMMARY,
    "Métriques Prometheus": _SUMMARY,
    "cd backend": _GO_COMMAND,
    "go test ./... -coverprofile=coverage.out": _GO_COMMAND,
    "k6 run analytics_load_test.js": _MEASURED,
    "Cleanup job cycle : **< 5s** (pour 1M événements)": _MEASURED,
    "**PostgreSQL disk** : ~500MB pour 10M événements (90 jours)": _MEASURED,
    "**CPU** : < 5% idle, < 30% sous charge": _MEASURED,
    "Vérifier que le serveur est démarré": "Advice to a person.",
    "Augmenter maxmemory-policy : `allkeys-lru`": "A setting of Redis, not of this program.",
}


class Subject:
    """Something that tests compare with the document."""

    known: ClassVar[dict[str, Subject]] = {}

    def __init__(self, name: str) -> None:
        self.name = name
        Subject.known[name] = self

    def check(self, found: Iterable[Difference]) -> None:
        """Fail unless the differences found are exactly those that are listed."""
        differ = set(found)
        listed = {Difference(*row[1:4]) for row in DEVIATIONS if row.subject == self.name}
        new, gone = sorted(differ - listed), sorted(listed - differ)
        assert not new, f"{self.name}: not as the document says, and not listed: {new}"
        assert not gone, f"{self.name}: listed as a deviation, and is none: {gone}"
