"""What becomes of a line of a log: a page view of somebody, or why it is none. All pure.

The rules are those of the pages that the program serves itself: people's GETs that were answered
with a page, redacted, of visitors that are told apart for one day.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar
from urllib.parse import unquote

from maicivy.history.logline import decode, read_line, target_of
from maicivy.ingest.client import ClientKind, client_facts
from maicivy.ingest.event import Event, page_view, referer_of
from maicivy.ingest.network import UNSPECIFIED, read_address
from maicivy.ingest.pages import UNTRACKED, is_asset
from maicivy.ingest.visitor import Keyring, Token, Visitor, address_hash, cookieless_id
from maicivy.jsontext import encode_text
from maicivy.periods import EventIds, Moment

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

    from maicivy.history.logline import LogLine
    from maicivy.ingest.client import ClientFacts
    from maicivy.ingest.urls import QueryParameters

# What is remembered of what comes again and again; long texts are not, for strangers write them.
REMEMBERED = 8192
SHORT = 512
IDS_IN_A_MILLISECOND = 4096
NOT_MODIFIED = 304

P = ParamSpec("P")
T = TypeVar("T")


def _remembered(function: Callable[P, T]) -> Callable[P, T]:
    """Remember what `function` returned, unless its last argument is a long text."""
    known = lru_cache(REMEMBERED)(function)

    def call(*values: P.args, **_: P.kwargs) -> T:
        last: Any = values[-1]
        return known(*values) if len(last) <= SHORT else function(*values)  # type: ignore[call-arg]

    return call


class Skip(enum.StrEnum):
    """Why a line is no page view."""

    BAD = "no lines of a combined log"
    LONG = "too long"
    FAILED = "requests that got no page"
    OTHER = "not pages"
    FOREIGN = "of other sites"
    BOT = "bots and tools"
    OLD = "older than the retention"
    LATE = "after the time asked for"
    REFUSED = "what PostgreSQL cannot keep"


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts: from `since` to `until` (exclusive), of the site with these hosts if told.

    Those of `origins` are the site's own as well, as far as referrers are concerned.
    """

    since: dt.datetime
    until: dt.datetime
    hosts: frozenset[str]
    origins: frozenset[str]
    parameters: QueryParameters
    zone: ZoneInfo


class Page(NamedTuple):
    """What is stored of a page; `data` is JSON text, `theme` the one that it is a view of."""

    url: str | None
    data: str
    theme: str | None


class Sieve:
    """Turns lines into page views; remembers what comes again and again.

    `key_of` returns the key that hides addresses on a local day.
    """

    def __init__(self, rules: Rules, secret: str, key_of: Callable[[dt.date], bytes]) -> None:
        self._rules = rules
        self._keyring = Keyring(secret)
        self._key_of = key_of
        self._since, self._until = int(rules.since.timestamp()), int(rules.until.timestamp())
        self._ids, self._ids_left, self._second = EventIds(), IDS_IN_A_MILLISECOND, 0
        self._page = _remembered(self._read_page)
        self._moment = lru_cache(1024)(self._read_moment)
        self._visitor = _remembered(self._make_visitor)
        self._referrer = _remembered(self._read_referrer)

    def take(self, line: str) -> Event | Skip:
        """Return the page view that a line tells of, or why there is none."""
        read = read_line(line)
        if read is None:
            return Skip.BAD
        if not 200 <= read.status < 300 and read.status != NOT_MODIFIED:
            return Skip.FAILED
        page = self._page(read.request)
        if page is None:
            return Skip.OTHER
        return self._reason(read) or self._event(read, page)

    def _reason(self, read: LogLine) -> Skip | None:
        """Return why somebody's view of a page does not count, or None if it does."""
        if read.host and self._rules.hosts and _host(read.host) not in self._rules.hosts:
            return Skip.FOREIGN
        if _agent(read.user_agent)[1].kind is not ClientKind.PERSON:
            return Skip.BOT
        if read.seconds < self._since:
            return Skip.OLD
        return Skip.LATE if read.seconds >= self._until else None

    def _event(self, read: LogLine, page: Page) -> Event:
        moment, (url, data, theme) = self._moment(read.seconds), page
        visitor = self._visitor(moment.day, read.client, read.user_agent)
        came_from = None
        if read.referrer != "-":
            came_from = self._referrer(_host(read.host), read.referrer)
        return Event(
            self._id(moment), visitor, "page_view", data, url, came_from, 0, moment, None, theme,
            None,
        )  # fmt: skip

    def _id(self, moment: Moment) -> str:
        """Return the next id; a log knows seconds only, and one may have more than a thousand."""
        if moment.milliseconds != self._second:
            self._second, self._ids_left = moment.milliseconds, IDS_IN_A_MILLISECOND
        elif not self._ids_left:
            self._ids, self._ids_left = EventIds(), IDS_IN_A_MILLISECOND
        self._ids_left -= 1
        return self._ids.make(moment.milliseconds)

    def _read_page(self, request: str) -> Page | None:
        """Return URL, data and theme of the page that was asked for, or None if it is none."""
        target = target_of(request)
        if target is None:
            return None
        path = unquote(target.partition("?")[0])
        if UNTRACKED.match(path) or is_asset(path) or path.startswith("/.well-known/"):
            return None
        view = page_view(target, self._rules.parameters)
        return Page(view.page_url, encode_text(view.data or {}), view.theme)

    def _read_moment(self, seconds: int) -> Moment:
        return Moment.of(dt.datetime.fromtimestamp(seconds, dt.UTC), self._rules.zone)

    def _read_referrer(self, host: str, text: str) -> str | None:
        """Return a referrer as it is stored; one of the site itself as a path."""
        rules = self._rules
        return referer_of(decode(text), rules.hosts | rules.origins | ({host} if host else set()))

    def _make_visitor(self, day: dt.date, client: str, agent: str) -> Visitor:
        """Return who this address with this User-Agent is for a day."""
        text, facts = _agent(agent)
        key, address = self._key_of(day), read_address(client)
        if address == UNSPECIFIED:
            address = client.lower().encode("latin-1")  # a server that looks names up
        token = Token(cookieless_id(key, address, text, ""), 0)
        return Visitor(
            id=str(self._keyring.visitor_id(token)),
            public_id="",  # nothing of it is published
            ip_hash=address_hash(key, address),
            browser=facts.browser,
            os=facts.os,
            device=facts.device,
            language="",
        )


def _host(text: str) -> str:
    """Return the name of a virtual host without its port."""
    return text.lower().partition(":")[0]


@_remembered
def _agent(text: str) -> tuple[str, ClientFacts]:
    agent = "" if text == "-" else decode(text)
    return agent, client_facts(agent)
