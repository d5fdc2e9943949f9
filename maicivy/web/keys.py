"""Where handlers find things: the typed keys of the application and of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from maicivy.background.cleanup import Cleanup
from maicivy.background.hub import Hub
from maicivy.background.tasks import Supervisor
from maicivy.config import Config
from maicivy.ingest.identity import Identifier
from maicivy.ingest.ledger import Ledger
from maicivy.ingest.limiter import RateLimiter
from maicivy.ingest.network import Proxies
from maicivy.ingest.urls import QueryParameters
from maicivy.ingest.visitor import Keyring
from maicivy.ingest.writer import Writer
from maicivy.metrics import Metrics
from maicivy.reports.answers import Answers
from maicivy.reports.source import Source
from maicivy.shared import Seats
from maicivy.storage.addresses import AddressKeys
from maicivy.storage.postgres import Postgres
from maicivy.storage.realtime import Realtime
from maicivy.storage.stores import Stores
from maicivy.web.door import Door
from maicivy.web.packed import Packed

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from maicivy.periods import Clock
    from maicivy.web.access import Access, Reader
    from maicivy.web.ahead import Ahead
    from maicivy.web.intake import Intake
    from maicivy.web.tracker import Tracker

CONFIG = web.AppKey("CONFIG", Config)
CLOCK: web.AppKey[Clock] = web.AppKey("CLOCK")
PROXIES = web.AppKey("PROXIES", Proxies)
PARAMETERS = web.AppKey("PARAMETERS", QueryParameters)
METRICS = web.AppKey("METRICS", Metrics)
SEATS = web.AppKey("SEATS", Seats)
LEDGER = web.AppKey("LEDGER", Ledger)
SUPERVISOR = web.AppKey("SUPERVISOR", Supervisor)
STORES = web.AppKey("STORES", Stores)
CLEANUP = web.AppKey("CLEANUP", Cleanup)
POSTGRES = web.AppKey("POSTGRES", Postgres)
REALTIME = web.AppKey("REALTIME", Realtime)
ANSWERS = web.AppKey("ANSWERS", Answers)
SOURCE = web.AppKey("SOURCE", Source)
KEYRING = web.AppKey("KEYRING", Keyring)
IDENTIFIER = web.AppKey("IDENTIFIER", Identifier)
ADDRESSES = web.AppKey("ADDRESSES", AddressKeys)
LIMITER = web.AppKey("LIMITER", RateLimiter)
WRITER = web.AppKey("WRITER", Writer)
HUB = web.AppKey("HUB", Hub)
INTAKE: web.AppKey[Intake] = web.AppKey("INTAKE")
AHEAD: web.AppKey[Ahead] = web.AppKey("AHEAD")
TRACKER: web.AppKey[Tracker] = web.AppKey("TRACKER")
PACKED = web.AppKey("PACKED", Packed)
DOOR = web.AppKey("DOOR", Door)
SOCKETS = web.AppKey("SOCKETS", set[web.WebSocketResponse])
EXPORTS = web.AppKey("EXPORTS", Seats)
ACCESS: web.AppKey[Access] = web.AppKey("ACCESS")
# Handlers that answer everybody, whether or not there is a password.
OPENED: web.AppKey[frozenset[Handler]] = web.AppKey("OPENED")
# Of the login, for each client and for all together.
LOGIN_LIMITER = web.AppKey("LOGIN_LIMITER", RateLimiter)
LOGINS_LIMITER = web.AppKey("LOGINS_LIMITER", RateLimiter)

# Who reads; see `access.reader`.
READER: web.RequestKey[Reader] = web.RequestKey("READER")
# An HTML page that is nobody's visit.
UNCOUNTED = web.RequestKey("UNCOUNTED", bool)
# Headers that the answer gets whatever becomes of the request.
EXTRA_HEADERS = web.RequestKey("EXTRA_HEADERS", dict[str, str])
