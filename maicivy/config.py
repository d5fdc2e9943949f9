"""Every setting: its variable, default, check and description, and the frozen result.

The program is configured by environment variables alone. `Config.from_env` reads them once, at
start; a value that cannot be right raises `ConfigError` with one sentence that names the variable.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from maicivy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

T = TypeVar("T")

UTC = ZoneInfo("UTC")
MAX_PORT = 65_535
MIN_SECRET_LENGTH = 16
MIN_PASSWORD_LENGTH = 12
MAX_PASSWORD_LENGTH = 500
# What a query parameter may be called to be listed, and to be found on the list.
PARAMETER_NAME = r"[\w.~\[\]-]{1,100}"
# Where the program's own addresses begin, those to come too.
TAKEN = frozenset(
    {"api", "badge", "dashboard", "docs", "embed", "health", "login", "logout", "metrics"}
    | {"openapi.json", "share", "static", "ws"}
)
MAX_ADDRESS = 100
QUERY_PARAMETERS = ("theme", "utm_*", "ref", "lang")
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; connect-src 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


def _integer(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text) if text.isascii() else None
        except ValueError:
            value = None
        if value is None or not lowest <= value <= highest:
            raise ValueError(f"must be a whole number from {lowest} to {highest}")
        return value

    return parse


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        value = text.lower()
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return value

    return parse


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        scheme = text.split("://", 1)[0]
        if "://" not in text or scheme not in schemes:
            raise ValueError(
                f"must be a URL that begins with {' or '.join(s + '://' for s in schemes)}"
            )
        return text

    return parse


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError("must be an IANA time zone such as Europe/Paris") from None


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
        raise ValueError("must be origins such as https://example.org, separated by commas")
    if parts.query or parts.fragment or parts.username:
        raise ValueError("must be origins such as https://example.org, separated by commas")
    return f"{parts.scheme}://{parts.netloc}".lower()


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("must be networks such as 10.0.0.0/8, separated by commas") from None


def _list_of(parse_one: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    def parse(text: str) -> tuple[T, ...]:
        return tuple(parse_one(part.strip()) for part in text.split(",") if part.strip())

    return parse


def _parameter(text: str) -> str:
    if text != "*" and not re.fullmatch(rf"{PARAMETER_NAME}\*?", text):
        raise ValueError(
            "must be names separated by commas, each with or without a * at its end, or none"
        )
    return text


def _parameters(text: str) -> tuple[str, ...]:
    return () if text.lower() == "none" else _list_of(_parameter)(text)


def _policy(text: str) -> str:
    if not re.fullmatch(r"[\x20-\x2b\x2d-\x7e]+", text):
        raise ValueError("must be one Content-Security-Policy of printable ASCII, or off")
    return "" if text.lower() == "off" else text


def _secret(text: str) -> str:
    if len(text) < MIN_SECRET_LENGTH:
        raise ValueError(f"must have at least {MIN_SECRET_LENGTH} characters")
    return text


def _password(text: str) -> str:
    if len(text) < MIN_PASSWORD_LENGTH:
        raise ValueError(f"must have at least {MIN_PASSWORD_LENGTH} characters")
    if len(text) > MAX_PASSWORD_LENGTH:
        raise ValueError(f"must have at most {MAX_PASSWORD_LENGTH} characters")
    return text


def _boolean(text: str) -> bool:
    return _choice("true", "false")(text) == "true"


def _address(text: str) -> str:
    if not re.fullmatch(r"(?:/[A-Za-z0-9][A-Za-z0-9._~-]*){1,8}", text) or len(text) > MAX_ADDRESS:
        raise ValueError("must be a path such as /stats.js")
    if text.split("/")[1] in TAKEN:
        raise ValueError(f"must not begin with /{text.split('/')[1]}, which is the program's own")
    return text


def _directory(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_dir():
        raise ValueError("must be a folder that exists")
    return path


def _path(text: str) -> Path:
    return Path(text).expanduser()


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: how its text becomes a value, and what it means."""

    variable: str
    parse: Callable[[str], Any]
    default: Any
    help: str
    secret: bool = False

    @property
    def field(self) -> str:
        """The name of the attribute of `Config` that holds the value."""
        return self.variable.removeprefix("MAICIVY_").lower()


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "DATABASE_URL",
        _url("postgresql", "postgres"),
        None,
        "PostgreSQL to use; without it an embedded one is started",
        secret=True,
    ),
    Setting(
        "REDIS_URL",
        _url("redis", "rediss", "unix"),
        None,
        "Redis to use; without it an embedded one is started",
        secret=True,
    ),
    Setting("MAICIVY_HOST", str, "127.0.0.1", "address to listen on"),
    Setting("MAICIVY_PORT", _integer(1, MAX_PORT), 8080, "port to listen on"),
    Setting("MAICIVY_WORKERS", _integer(1, 64), 1, "processes that serve the port (Linux)"),
    Setting("MAICIVY_DATA_DIR", _path, Path("data"), "folder of the embedded servers"),
    Setting("MAICIVY_SITE_DIR", _directory, None, "folder of static pages to serve and track"),
    Setting(
        "MAICIVY_CONTENT_SECURITY_POLICY",
        _policy,
        CONTENT_SECURITY_POLICY,
        "what browsers allow pages of the site to load; off leaves it to the pages",
    ),
    Setting("MAICIVY_TRACKER_PATH", _address, "/maicivy.js", "address of the tracker, a script"),
    Setting(
        "MAICIVY_COLLECT_PATH",
        _address,
        None,
        "another address of /api/v1/analytics/events, which the tracker then sends to",
    ),
    Setting(
        "MAICIVY_QUERY_PARAMETERS",
        _parameters,
        QUERY_PARAMETERS,
        "query parameters that are kept of page URLs; a * at the end of a name is any end",
    ),
    Setting(
        "MAICIVY_SECRET_KEY",
        _secret,
        None,
        "key that signs cookies and hashes identities; without it one is made and kept in "
        "PostgreSQL",
        secret=True,
    ),
    Setting(
        "MAICIVY_DASHBOARD_PASSWORD",
        _password,
        None,
        "password of the dashboard, the reports and the live feed; without one they are public",
        secret=True,
    ),
    Setting(
        "MAICIVY_PUBLIC_BADGE",
        _boolean,
        default=False,
        help="leave the badge and the mini chart public although there is a password",
    ),
    Setting("MAICIVY_TIMEZONE", _zone, UTC, "IANA zone of days, weeks and months"),
    Setting(
        "MAICIVY_RETENTION_DAYS",
        _integer(1, 90),
        90,
        "days that events and visitors are kept",
    ),
    Setting(
        "MAICIVY_ALLOWED_ORIGINS",
        _list_of(_origin),
        (),
        "other sites whose pages may send events and read numbers",
    ),
    Setting(
        "MAICIVY_TRUSTED_PROXIES",
        _list_of(_network),
        (),
        "networks whose X-Forwarded-For and X-Forwarded-Proto are believed",
    ),
    Setting(
        "MAICIVY_EVENT_RATE_LIMIT",
        _integer(0, 1_000_000),
        100,
        "events a minute for one client address; 0 turns the limit off",
    ),
    Setting(
        "MAICIVY_MAX_CONNECTIONS",
        _integer(1, 1_000_000),
        20_000,
        "HTTP connections at once; fewer where the system allows fewer open files",
    ),
    Setting("MAICIVY_WS_MAX_CONNECTIONS", _integer(1, 100_000), 50, "WebSocket clients at once"),
    Setting(
        "MAICIVY_QUEUE_SIZE", _integer(1, 1_000_000), 10_000, "events that may wait for a commit"
    ),
    Setting("MAICIVY_BATCH_SIZE", _integer(1, 10_000), 500, "events that one commit may hold"),
    Setting(
        "MAICIVY_DATABASE_POOL_SIZE", _integer(1, 1_000), 8, "PostgreSQL connections for reports"
    ),
    Setting(
        "MAICIVY_MIN_GROUP",
        _integer(1, 1_000),
        3,
        "visitors that a row of a public list has at least; smaller ones are one row, (other)",
    ),
    Setting(
        "MAICIVY_METRICS_PORT",
        _integer(1, MAX_PORT),
        None,
        "serve /metrics on this port alone instead of the main one",
    ),
    Setting(
        "MAICIVY_LOG_LEVEL",
        _choice("debug", "info", "warning", "error"),
        "info",
        "least severe lines to write",
    ),
    Setting("MAICIVY_LOG_FORMAT", _choice("text", "json"), "text", "shape of a log line"),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the program was told; see `SETTINGS` for the meaning of each field."""

    database_url: str | None = dataclasses.field(default=None, repr=False)
    redis_url: str | None = dataclasses.field(default=None, repr=False)
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    data_dir: Path = Path("data")
    site_dir: Path | None = None
    content_security_policy: str = CONTENT_SECURITY_POLICY
    tracker_path: str = "/maicivy.js"
    collect_path: str | None = None
    query_parameters: tuple[str, ...] = QUERY_PARAMETERS
    secret_key: str | None = dataclasses.field(default=None, repr=False)
    dashboard_password: str | None = dataclasses.field(default=None, repr=False)
    public_badge: bool = False
    timezone: ZoneInfo = UTC
    retention_days: int = 90
    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    event_rate_limit: int = 100
    max_connections: int = 20_000
    ws_max_connections: int = 50
    queue_size: int = 10_000
    batch_size: int = 500
    database_pool_size: int = 8
    min_group: int = 3
    metrics_port: int | None = None
    log_level: str = "info"
    log_format: str = "text"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Config:
        """Read every setting from `environ`; raises `ConfigError` at the first wrong one."""
        return cls(**{setting.field: _value_of(setting, environ) for setting in SETTINGS})


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the `MAICIVY_` variables that are no setting, most likely mistyped."""
    known = {setting.variable for setting in SETTINGS}
    known |= {f"{setting.variable}_FILE" for setting in SETTINGS if setting.secret}
    return sorted(name for name in environ if name.startswith("MAICIVY_") and name not in known)


def _value_of(setting: Setting, environ: Mapping[str, str]) -> Any:
    text = environ.get(setting.variable, "").strip()
    if setting.secret and not text:
        text = _from_file(f"{setting.variable}_FILE", environ)
    if not text:
        return setting.default
    try:
        return setting.parse(text)
    except ValueError as error:
        shown = "the value given" if setting.secret else repr(text)
        raise ConfigError(f"{setting.variable} {error}, not {shown}.") from None


def _from_file(variable: str, environ: Mapping[str, str]) -> str:
    name = environ.get(variable, "").strip()
    if not name:
        return ""
    try:
        text = Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"{variable} names {name!r}, which cannot be read: {reason}.") from None
    if not text:
        raise ConfigError(f"{variable} names {name!r}, which is empty.")
    return text
