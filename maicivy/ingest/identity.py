"""Which visitor a request belongs to, and whether it is to get a cookie."""

from __future__ import annotations

import contextlib
import os
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from maicivy.ingest.client import ClientFacts, client_facts, language
from maicivy.ingest.limiter import SlidingLog
from maicivy.ingest.visitor import (
    TOKEN_ID_BYTES,
    Keyring,
    Token,
    Visitor,
    address_hash,
    cookieless_id,
    limiter_id,
)

if TYPE_CHECKING:
    import datetime as dt

    from maicivy.ingest.network import Address
    from maicivy.periods import Moment

RANDOM_TOKENS_PER_MINUTE = 30
REMEMBERED = 8192

_OWN_SITE = frozenset({"same-origin", "same-site", "none"})


class ClientRequest(NamedTuple):
    """What a request says of who sent it; `cookie` is the value of the session cookie."""

    address: Address
    host: str
    user_agent: str = ""
    accept_language: str = ""
    cookie: str | None = None
    fetch_site: str = ""
    opted_out: bool = False

    @property
    def facts(self) -> ClientFacts:
        """Return what the User-Agent is reduced to."""
        return client_facts(self.user_agent)


class Identity(NamedTuple):
    """The visitor, and the cookie to set if there is one to set.

    `has_cookie` says that a cookie of this installation told who it is.
    """

    visitor: Visitor
    new_cookie: str | None
    cookie_seconds: int
    has_cookie: bool = False


class _ForgedCookie(Exception):
    """A cookie that this installation did not sign."""


class _Known(NamedTuple):
    """Whose a cookie is."""

    token: Token
    visitor: Visitor


class Identifier:
    """Tells visitors apart without learning who they are.

    The last few thousand who came with a cookie are remembered, for visitors do several things in a
    row, but not beyond their day.
    """

    def __init__(self, keyring: Keyring, workers: int = 1) -> None:
        self._keyring = keyring
        # a share for each worker, so that together they keep the limit
        self._random_tokens = SlidingLog(max(1, RANDOM_TOKENS_PER_MINUTE // workers))
        self._known = lru_cache(REMEMBERED)(self._know)
        self.limiter_id = lru_cache(REMEMBERED)(limiter_id)
        self._day: dt.date | None = None

    def identify(self, request: ClientRequest, address_key: bytes, moment: Moment) -> Identity:
        """Return the visitor of `request`; `address_key` is that of the day.

        A client without a good cookie gets a new one, unless another site's page sent the
        request, whose cookies browsers do not keep.
        """
        now, today = moment.instant, moment.day
        if today != self._day:
            self._day = today
            self._known.cache_clear()
            self.limiter_id.cache_clear()
        if request.cookie is not None:
            with contextlib.suppress(_ForgedCookie):
                token, visitor = self._known(request, address_key, today)
                if token.is_good(now):
                    return Identity(visitor, None, token.seconds_left(now), has_cookie=True)
        token = self._new_token(request, address_key, now)
        cookie = self._keyring.cookie(token) if request.fetch_site != "cross-site" else None
        visitor = self._visitor(request, token, address_key, today)
        return Identity(visitor, cookie, token.seconds_left(now))

    def _know(self, request: ClientRequest, address_key: bytes, today: dt.date) -> _Known:
        token = self._keyring.read_token(request.cookie)
        if token is None:
            # raised, because an answer would be remembered, and anybody can make up cookies
            raise _ForgedCookie
        return _Known(token, self._visitor(request, token, address_key, today))

    def _new_token(self, request: ClientRequest, address_key: bytes, now: dt.datetime) -> Token:
        """Return a random token for a browser on this site, else the client's own of the day."""
        issued_at = int(now.timestamp())
        if request.fetch_site in _OWN_SITE:
            client = self.limiter_id(address_key, request.address)
            if self._random_tokens.take(client).allowed:
                return Token(os.urandom(TOKEN_ID_BYTES), issued_at)
        identity = cookieless_id(address_key, request.address, request.user_agent, request.host)
        return Token(identity, issued_at)

    def _visitor(
        self, request: ClientRequest, token: Token, address_key: bytes, today: dt.date
    ) -> Visitor:
        visitor_id, facts = self._keyring.visitor_id(token), request.facts
        return Visitor(
            id=str(visitor_id),
            public_id=str(self._keyring.public_id(visitor_id, today)),
            ip_hash=address_hash(address_key, request.address),
            browser=facts.browser,
            os=facts.os,
            device=facts.device,
            language=language(request.accept_language),
        )
