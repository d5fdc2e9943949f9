"""What all ways in have in common: who sends, whether they may, and what of it becomes an event."""

from __future__ import annotations

import asyncio
import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from maicivy.errors import BodyTooLarge, RequestTimeout, Unavailable, UnsupportedMediaType
from maicivy.ingest.body import parse_object
from maicivy.ingest.client import ClientKind
from maicivy.ingest.event import check_fields, make_event
from maicivy.ingest.ledger import DropReason
from maicivy.periods import Moment
from maicivy.web.client import check_origin, client_of
from maicivy.web.keys import EXTRA_HEADERS
from maicivy.web.rate import check_rate

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

    from maicivy.config import Config
    from maicivy.ingest.event import Event, Fields
    from maicivy.ingest.identity import ClientRequest, Identifier, Identity
    from maicivy.ingest.ledger import Ledger
    from maicivy.ingest.limiter import RateLimiter
    from maicivy.ingest.network import Proxies
    from maicivy.ingest.urls import QueryParameters
    from maicivy.ingest.writer import Writer
    from maicivy.periods import Clock
    from maicivy.storage.addresses import AddressKeys

BODY_SECONDS = 10.0
MAX_BODY_BYTES = 16 * 1024
TWO_DAYS = 2 * 86_400
ZERO, MILLISECOND = dt.timedelta(0), dt.timedelta(milliseconds=1)

_MEDIA_TYPES = frozenset({"", "application/json", "text/plain"})
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})


class Head(NamedTuple):
    """What the head of a request says, checked; `own_hosts` are those of this site."""

    client: ClientRequest
    own_hosts: frozenset[str]
    referer: str | None


class Stranger(NamedTuple):
    """Who sends without a cookie, and the key that hides their address today."""

    client: ClientRequest
    address_key: bytes


class Known(NamedTuple):
    """What follows, for the rest of a day, from a head that was taken on it.

    `whose` its events are, or who sends them where that changes each time.
    """

    own_hosts: frozenset[str]
    referer: str | None
    limiter_id: str
    whose: Identity | Stranger


class Sender(NamedTuple):
    """Who sends something now; `address_key` hides their address today."""

    head: Head
    moment: Moment
    address_key: bytes


class Taken(NamedTuple):
    """Whose event was stored, whether it is a row of its own, and who sent it."""

    identity: Identity
    is_new: bool
    sender: Sender


class Intake:
    """Admits requests that bring events, and makes events of what they bring."""

    def __init__(
        self,
        *,
        config: Config,
        clock: Clock,
        proxies: Proxies,
        parameters: QueryParameters,
        ledger: Ledger,
        writer: Writer,
        addresses: AddressKeys,
        limiter: RateLimiter,
        identifier: Identifier,
    ) -> None:
        self._zone = config.timezone
        self._allowed_origins = config.allowed_origins
        self._clock = clock
        self._proxies = proxies
        self._parameters = parameters
        self._ledger = ledger
        self._writer = writer
        self._addresses = addresses
        self._limiter = limiter
        self._identifier = identifier
        self._hosts = frozenset(urlsplit(origin).netloc for origin in config.allowed_origins)
        self.own_hosts = lru_cache(maxsize=256)(self._with_host)
        self._moment: Moment | None = None
        self._bodies: set[asyncio.Timeout] = set()

    async def take(self, request: web.Request) -> Taken | DropReason:
        """Return what became of an event, or why it is not to be tracked."""
        self._ledger.receive()
        try:
            checked = await self._check(request)
        except BaseException as error:
            self._ledger.refuse(error)
            raise
        if isinstance(checked, DropReason):
            self._ledger.drop(checked)
            return checked
        event, identity, sender = checked
        return Taken(identity, await self._writer.store(event), sender)

    async def take_known(
        self, known: Known, body: bytes, moment: Moment, told: dict[str, str]
    ) -> tuple[Identity, bool]:
        """Return whose the event of a known head was, and whether it is a row of its own.

        Headers of the rate limit are put into `told`.
        """
        self._ledger.receive()
        try:
            await check_rate(told, self._limiter, known.limiter_id)
            _check_length(body, MAX_BODY_BYTES)
            fields = check_fields(
                parse_object(body), self._parameters, known.own_hosts, known.referer
            )
            identity = known.whose
            if isinstance(identity, Stranger):
                identity = self._identifier.identify(*identity, moment)
            event = make_event(fields, identity.visitor, moment)
        except BaseException as error:
            self._ledger.refuse(error)
            raise
        stored = await self._writer.store(event)
        return identity, stored

    def know(self, taken: Taken) -> Known | None:
        """Return what is to be remembered of a request that was taken, for as long as its day.

        None if there could be any number of its kind, because its cookie is made up.
        """
        identity, _, (head, _, address_key) = taken
        client = head.client
        if client.cookie is not None and not identity.has_cookie:
            return None
        is_lasting = identity.new_cookie is None and identity.cookie_seconds > TWO_DAYS
        return Known(
            head.own_hosts,
            head.referer,
            self._identifier.limiter_id(address_key, client.address),
            identity if is_lasting else Stranger(client, address_key),
        )

    async def admit(self, request: web.Request) -> Sender | DropReason:
        """Return who sends, once they took a place in the rate limit; or that they opted out."""
        head = self._head(request)
        if head.client.opted_out:
            return DropReason.OPT_OUT
        moment = self.now()
        address_key = self._addresses.get(moment.day) or await self._addresses.load(moment.day)
        sender = Sender(head, moment, address_key)
        await self.weigh(request, sender, 1)
        return sender

    def _head(self, request: web.Request) -> Head:
        """Return what a request's head says; raises `Forbidden`."""
        client = client_of(request, self._proxies)
        check_origin(request, self._allowed_origins)
        return Head(client, self.own_hosts(request.host), request.headers.get("Referer"))

    def now(self) -> Moment:
        """Return the current millisecond, which many events have in common."""
        now, last = self._clock(), self._moment
        if last is not None and ZERO <= now - last.instant < MILLISECOND:
            return last
        self._moment = Moment.of(now, self._zone)
        return self._moment

    async def weigh(self, request: web.Request, sender: Sender, weight: int) -> None:
        """Take places in the rate limit; raises `RateLimited`."""
        client = self._identifier.limiter_id(sender.address_key, sender.head.client.address)
        await check_rate(request.setdefault(EXTRA_HEADERS, {}), self._limiter, client, weight)

    def check(self, head: Head, body: dict[str, Any]) -> Fields:
        """Return the checked fields of one event; raises `InvalidRequest`."""
        return check_fields(body, self._parameters, head.own_hosts, head.referer)

    def identify(self, sender: Sender) -> Identity | DropReason:
        """Return whose events these are, or that nobody's are meant to count."""
        client = sender.head.client
        if client.facts.kind is ClientKind.BOT:
            return DropReason.BOT
        return self._identifier.identify(client, sender.address_key, sender.moment)

    def event(self, fields: Fields, identity: Identity, sender: Sender) -> Event:
        """Return the event, as it happens now."""
        return make_event(fields, identity.visitor, sender.moment)

    async def read_body(
        self, request: web.Request, most: int, media_types: Collection[str] = _MEDIA_TYPES
    ) -> bytes:
        """Return a body of at most `most` bytes, whole within 10 s."""
        _check_headers(request, most, media_types)
        content = request.content
        if content.is_eof() and not content.exception():
            # it came with the head, as small bodies do, so there is nothing to wait for
            body = content.read_nowait()
            _check_length(body, most)
            return body
        return await self._wait_for_body(request, most)

    async def _check(self, request: web.Request) -> tuple[Event, Identity, Sender] | DropReason:
        sender = await self.admit(request)
        if isinstance(sender, DropReason):
            return sender
        body = await self.read_body(request, MAX_BODY_BYTES)
        fields = self.check(sender.head, parse_object(body))
        identity = self.identify(sender)
        if isinstance(identity, DropReason):
            return identity
        return self.event(fields, identity, sender), identity, sender

    def stop_waiting(self) -> None:
        """Answer those whose bodies are not whole yet: aiohttp hears no more of them."""
        for limit in self._bodies:
            limit.reschedule(asyncio.get_running_loop().time())
        self._bodies.clear()

    async def _wait_for_body(self, request: web.Request, most: int) -> bytes:
        body, limit = bytearray(), asyncio.timeout(BODY_SECONDS)
        try:
            async with limit:
                self._bodies.add(limit)
                async for chunk in request.content.iter_any():
                    body += chunk
                    _check_length(body, most)
        except TimeoutError:
            if limit not in self._bodies:
                raise Unavailable("The server is stopping; try again soon.") from None
            raise RequestTimeout(
                f"The body did not arrive within {BODY_SECONDS:.0f} s.",
                headers={"Connection": "close"},
            ) from None
        finally:
            self._bodies.discard(limit)
        return bytes(body)

    def _with_host(self, host: str) -> frozenset[str]:
        return self._hosts | {host.lower()}


def _check_headers(request: web.Request, most: int, media_types: Collection[str]) -> None:
    headers = request.headers
    if "Content-Encoding" in headers:
        codings = headers.getall("Content-Encoding")
        if any(coding.lower() != "identity" for coding in codings):
            raise UnsupportedMediaType(
                "The body must not be compressed.", code="unsupported_coding"
            )
    if headers.get("Content-Type") != "application/json":
        _check_type(request, media_types)
    if (request.content_length or 0) > most:
        raise too_large(most)


def _check_type(request: web.Request, media_types: Collection[str]) -> None:
    media_type = request.content_type if "Content-Type" in request.headers else ""
    if media_type not in media_types:
        raise UnsupportedMediaType("Send the event as application/json or text/plain.")
    if (request.charset or "utf-8").lower() not in _CHARSETS:
        raise UnsupportedMediaType("The body must be UTF-8.", code="unsupported_charset")


def _check_length(body: bytes | bytearray, most: int) -> None:
    if len(body) > most:
        raise too_large(most)


def too_large(most: int) -> BodyTooLarge:
    """Return the refusal of a body of more than `most` bytes."""
    return BodyTooLarge(f"The body is larger than {most} bytes.")
