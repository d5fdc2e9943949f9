"""Which visitor a request belongs to, and whether it is to get a cookie."""

from __future__ import annotations

import os
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

RANDOM_TOKENS_PER_MINUTE = 30

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
    """The visitor, and the cookie to set if there is one to set."""

    visitor: Visitor
    new_cookie: str | None
    cookie_seconds: int


class Identifier:
    """Tells visitors apart without learning who they are."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._random_tokens = SlidingLog(RANDOM_TOKENS_PER_MINUTE)

    def identify(
        self, request: ClientRequest, address_key: bytes, now: dt.datetime, today: dt.date
    ) -> Identity:
        """Return the visitor of `request`; `address_key` is that of `today`.

        A client without a good cookie gets a new one, unless another site's page sent the
        request, whose cookies browsers do not keep.
        """
        token = self._keyring.read_cookie(request.cookie, now)
        cookie = None
        if token is None:
            token = self._new_token(request, address_key, now)
            cookie = self._keyring.cookie(token) if request.fetch_site != "cross-site" else None
        return Identity(
            self._visitor(request, token, address_key, today), cookie, token.seconds_left(now)
        )

    def _new_token(self, request: ClientRequest, address_key: bytes, now: dt.datetime) -> Token:
        """Return a random token for a browser on this site, else the client's own of the day."""
        issued_at = int(now.timestamp())
        if request.fetch_site in _OWN_SITE:
            client = limiter_id(address_key, request.address)
            if self._random_tokens.take(client).allowed:
                return Token(os.urandom(TOKEN_ID_BYTES), issued_at)
        identity = cookieless_id(address_key, request.address, request.user_agent, request.host)
        return Token(identity, issued_at)

    def _visitor(
        self, request: ClientRequest, token: Token, address_key: bytes, today: dt.date
    ) -> Visitor:
        names, facts = self._keyring.names(token, today), request.facts
        return Visitor(
            id=names.id,
            public_id=names.public_id,
            ip_hash=address_hash(address_key, request.address),
            browser=facts.browser,
            os=facts.os,
            device=facts.device,
            language=language(request.accept_language),
        )
