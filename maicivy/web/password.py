"""The dashboard's password: how one is compared, and the sessions that are signed with it.

The password is in the program's configuration and is stored nowhere else. What signs a session is
derived from the password and from the installation's secret, so that another password ends all
sessions, and who has only one of the two can sign none.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
import struct
import unicodedata
from typing import TYPE_CHECKING

from maicivy.errors import Unavailable

if TYPE_CHECKING:
    import datetime as dt

SESSION_SECONDS = 30 * 86_400
SESSION_LENGTH = 64  # base64 of 12 random bytes, 4 of time and 32 of MAC

# One comparison takes 16 MiB and about 150 ms of a processor: what OWASP's "Password Storage Cheat
# Sheet" asks for (N = 2^14, r = 8, p = 5).
SCRYPT = {"n": 2**14, "r": 8, "p": 5, "maxmem": 32 * 1024**2, "dklen": 32}
AT_ONCE = 2
WAITING = 8

_CLOCK_SKEW_SECONDS = 60
_RANDOM_BYTES = 12
_ISSUED = struct.Struct(">I")
_MAC_BYTES = 32


class Password:
    """A password that can be compared, and the sessions of those who knew it."""

    def __init__(self, salt: bytes, derived: bytes) -> None:
        self._salt = salt
        self._check_key = hmac.digest(derived, b"maicivy password check", "sha256")
        self._session_key = hmac.digest(derived, b"maicivy login signature", "sha256")
        self._places = asyncio.Semaphore(AT_ONCE)
        self._inside = 0

    @classmethod
    async def of(cls, password: str, installation_secret: str) -> Password:
        """Return the password of an installation; this takes as long as a comparison."""
        salt = hmac.digest(installation_secret.encode(), b"maicivy password salt", "sha256")
        return cls(salt, await asyncio.to_thread(_derive, password, salt))

    async def matches(self, given: str) -> bool:
        """Say whether it is the password; raises `Unavailable` when too many ask at once."""
        if self._inside >= AT_ONCE + WAITING:
            raise Unavailable("Too many passwords are being compared; try again soon.", code="busy")
        self._inside += 1
        try:
            async with self._places:
                # a thread cannot be cancelled, so the place is kept until it is done
                work = asyncio.ensure_future(asyncio.to_thread(_derive, given, self._salt))
                try:
                    derived = await asyncio.shield(work)
                except asyncio.CancelledError:
                    await asyncio.wait([work])
                    raise
        finally:
            self._inside -= 1
        check_key = hmac.digest(derived, b"maicivy password check", "sha256")
        return hmac.compare_digest(check_key, self._check_key)

    def session(self, now: dt.datetime) -> str:
        """Return a new session: 64 characters of URL-safe base64."""
        payload = secrets.token_bytes(_RANDOM_BYTES) + _ISSUED.pack(int(now.timestamp()))
        return base64.urlsafe_b64encode(payload + self._mac(payload)).decode()

    def signed(self, session: str, now: dt.datetime) -> bool:
        """Say whether it is a session that was signed with this password and is good still."""
        if len(session) != SESSION_LENGTH or not session.isascii():
            return False
        try:
            raw = base64.b64decode(session, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return False
        payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(self._mac(payload), mac):
            return False
        age = int(now.timestamp()) - _ISSUED.unpack(payload[_RANDOM_BYTES:])[0]
        return bool(-_CLOCK_SKEW_SECONDS <= age < SESSION_SECONDS)

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._session_key, payload, "sha256")


def _derive(password: str, salt: bytes) -> bytes:
    """Return the 32 bytes of a password; keyboards compose accents differently."""
    composed = unicodedata.normalize("NFC", password.strip())
    return hashlib.scrypt(composed.encode(errors="surrogatepass"), salt=salt, **SCRYPT)
