"""Who a request belongs to: cookie tokens, derived identities, client addresses. All pure.

Every identity is a keyed hash (HMAC-SHA-256) with a key derived for that one purpose, so nothing
that is stored or published leads back to a cookie or an address.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
import uuid
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import datetime as dt

    from maicivy.ingest.network import Address

COOKIE_NAME = "maicivy_session"
COOKIE_SECONDS = 30 * 86_400
COOKIE_LENGTH = 48  # base64 of 16 bytes of id, 4 of time and 16 of MAC
TOKEN_ID_BYTES = 16

_CLOCK_SKEW_SECONDS = 86_400
_ISSUED = struct.Struct(">I")
_MAC_BYTES = 16


class Visitor(NamedTuple):
    """One browser as PostgreSQL knows it; `public_id` is its pseudonym for one day.

    Both are UUIDs as text.
    """

    id: str
    public_id: str
    ip_hash: str
    browser: str
    os: str
    device: str
    language: str


class Token(NamedTuple):
    """What a cookie carries: the visitor's 16 secret bytes and the second of their first issue."""

    id: bytes
    issued_at: int

    def seconds_left(self, now: dt.datetime) -> int:
        """Return how long the token is still good for."""
        return self.issued_at + COOKIE_SECONDS - int(now.timestamp())

    def is_good(self, now: dt.datetime) -> bool:
        """Say whether the token is neither too old nor from a time to come."""
        return 0 < self.seconds_left(now) <= COOKIE_SECONDS + _CLOCK_SKEW_SECONDS


class Keyring:
    """The keys derived from the installation's secret, and what they sign and hash."""

    def __init__(self, secret: str) -> None:
        self._cookie_key = _derive(secret, b"maicivy cookie signature")
        self._visitor_key = _derive(secret, b"maicivy visitor identity")
        self._public_key = _derive(secret, b"maicivy public pseudonym")

    def cookie(self, token: Token) -> str:
        """Return the cookie's value: 48 characters of URL-safe base64."""
        payload = token.id + _ISSUED.pack(token.issued_at)
        return base64.urlsafe_b64encode(payload + self._mac(payload)).decode()

    def read_cookie(self, value: str | None, now: dt.datetime) -> Token | None:
        """Return the token of a cookie that this installation signed and that is still good."""
        token = self.read_token(value)
        return token if token is not None and token.is_good(now) else None

    def read_token(self, value: str | None) -> Token | None:
        """Return the token of a cookie that this installation signed, however old it is."""
        if value is None or len(value) != COOKIE_LENGTH or not value.isascii():
            return None
        try:
            raw = base64.b64decode(value, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(self._mac(payload), mac):
            return None
        return Token(payload[:TOKEN_ID_BYTES], _ISSUED.unpack(payload[TOKEN_ID_BYTES:])[0])

    def visitor_id(self, token: Token) -> uuid.UUID:
        """Return the identity that is stored; it does not lead back to the token."""
        return _as_uuid(hmac.digest(self._visitor_key, token.id, "sha256"))

    def public_id(self, visitor_id: uuid.UUID, day: dt.date) -> uuid.UUID:
        """Return the pseudonym that is published for the visitor's events of `day`."""
        message = visitor_id.bytes + day.isoformat().encode()
        return _as_uuid(hmac.digest(self._public_key, message, "sha256"))

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._cookie_key, payload, "sha256")[:_MAC_BYTES]


def address_hash(address_key: bytes, address: Address) -> str:
    """Return the stored form of a client address: 64 hex digits, keyed with the day's key."""
    return hmac.digest(address_key, address, "sha256").hex()


def cookieless_id(address_key: bytes, address: Address, user_agent: str, host: str) -> bytes:
    """Return the 16 bytes that stand for a client without a cookie for the day of the key."""
    message = b"\x00".join(
        (b"cookieless", address, user_agent.encode(errors="replace"), host.encode())
    )
    return hmac.digest(address_key, message, "sha256")[:TOKEN_ID_BYTES]


def limiter_id(address_key: bytes, address: Address) -> str:
    """Return what a rate limit knows a client by: a hash of its IPv4 address or IPv6 /64."""
    network = address[:8]
    return hmac.digest(address_key, b"limiter" + network, "sha256")[:16].hex()


def _derive(secret: str, purpose: bytes) -> bytes:
    return hmac.digest(secret.encode(), purpose, "sha256")


def _as_uuid(digest: bytes) -> uuid.UUID:
    return uuid.UUID(bytes=digest[:16], version=4)
