"""Share links and the tokens of programs: who may read although there is a password.

A secret is 32 random bytes, shown once. Only its SHA-256 is stored: of something that random there
is nothing to guess, so no slower hash is needed, and how long it takes to look a hash up tells
nothing of any secret. All of them are in memory, as there are few; whoever brings one that is not
known has them read again.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import enum
import hashlib
import re
import secrets
import time
from typing import TYPE_CHECKING

from maicivy.errors import GrantRefused, StorageUnavailable

if TYPE_CHECKING:
    import uuid

    from maicivy.periods import Clock
    from maicivy.storage.postgres import Postgres, Record

MAX_GRANTS = 100
MAX_DAYS = 365
MAX_NAME_LENGTH = 50
MAX_VIEW_LENGTH = 500
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}"
# What a share link may be called: no control characters.
LABEL = r"[^\x00-\x1f\x7f-\x9f]*"
# What is left of a query of the dashboard when it stands in a URL.
VIEW = r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*"
SECRET_BYTES = 32
# One that was revoked elsewhere is good for so long, and for the second while PostgreSQL is away.
FRESH_SECONDS = 1.0
STALE_SECONDS = 60.0
USE_NOTED_EVERY = dt.timedelta(hours=1)


class Kind(enum.StrEnum):
    """What a secret is for; its first characters tell."""

    SHARE = "share"
    TOKEN = "token"  # noqa: S105 - no secret

    @property
    def prefix(self) -> str:
        """What a secret of this kind begins with."""
        return "mcs_" if self is Kind.SHARE else "mct_"


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """A share link or a token, without its secret; `view` is a query of the dashboard."""

    id: uuid.UUID
    kind: Kind
    name: str
    view: str
    created_at: dt.datetime
    expires_at: dt.datetime | None
    last_used_at: dt.datetime | None

    def is_good(self, now: dt.datetime) -> bool:
        """Say whether it has not expired."""
        return self.expires_at is None or now < self.expires_at


class Grants:
    """Makes, finds, lists and revokes them; `StorageUnavailable` when PostgreSQL cannot say."""

    def __init__(self, postgres: Postgres, clock: Clock) -> None:
        self._postgres = postgres
        self._clock = clock
        self._known: dict[bytes, Grant] = {}
        self._read_at = self._tried_at = float("-inf")
        self._failure: StorageUnavailable | None = None
        self._turn = asyncio.Lock()

    async def find(self, kind: Kind, secret: str) -> Grant | None:
        """Return what `secret` stands for, if it is good still, and note its use.

        Its first characters are a part of what is hashed, so one kind is never taken for the other.
        """
        if not secret.startswith(kind.prefix) or not secret.isascii():
            return None
        asked_at, name = time.monotonic(), _digest(secret)
        await self._read(asked_at - FRESH_SECONDS)
        grant = self._known.get(name)
        if grant is None:
            await self._read(asked_at)
            grant = self._known.get(name)
        self._check_age(missing=grant is None)
        now = self._clock()
        if grant is None or not grant.is_good(now):
            return None
        await self._note_use(name, grant, now)
        return grant

    async def create(
        self, kind: Kind, *, name: str = "", view: str = "", days: int | None = None
    ) -> tuple[Grant, str]:
        """Store a new one; return it and its secret, which nobody can tell again.

        Raises `GrantRefused` when there are too many, or the name of a token is taken.
        """
        now, secret = self._clock(), kind.prefix + secrets.token_urlsafe(SECRET_BYTES)
        expires_at = now + dt.timedelta(days=days) if days is not None else None
        async with self._postgres.writing() as connection, connection.transaction():
            await self._postgres.run(connection, "lock_grants")
            await self._postgres.run(connection, "forget_expired_grants", now)
            rows = await self._postgres.run(connection, "select_grants")
            _check_room(kind, name, [_grant(row) for row in rows])
            values = (kind.value, _digest(secret), name, view, now, expires_at)
            [row] = await self._postgres.run(connection, "insert_grant", *values)
        self._forget_copy()
        return Grant(row["id"], kind, name, view, now, expires_at, None), secret

    async def listed(self, kind: Kind) -> list[Grant]:
        """Return the good ones of a kind, newest first."""
        now = self._clock()
        grants = [_grant(row) for row in await self._postgres.fetch("select_grants")]
        return [grant for grant in grants if grant.kind is kind and grant.is_good(now)]

    async def revoke(self, kind: Kind, identity: uuid.UUID) -> bool:
        """Delete one; say whether it was there."""
        rows = await self._postgres.write("delete_grant", kind.value, identity)
        self._forget_copy()
        return bool(rows)

    def _forget_copy(self) -> None:
        self._tried_at = float("-inf")

    async def _read(self, since: float) -> None:
        """Have the grants as they were at `since` or later; one reads for all who wait.

        Nobody waits for more than two attempts, whatever comes of them.
        """
        if self._tried_at >= since:
            return
        async with self._turn:
            if self._tried_at >= since:
                return
            self._tried_at, self._failure = time.monotonic(), None
            began_at = self._tried_at
            try:
                rows = await self._postgres.fetch("select_grants")
            except StorageUnavailable as error:
                self._failure = error
            else:
                self._known = {row["secret_hash"]: _grant(row) for row in rows}
                self._read_at = began_at

    def _check_age(self, *, missing: bool) -> None:
        """Do without PostgreSQL for a while: nothing can be revoked in it while it is away."""
        if self._failure is None:
            return
        if missing or time.monotonic() - self._read_at > STALE_SECONDS:
            raise StorageUnavailable("it cannot be known who may read") from self._failure

    async def _note_use(self, name: bytes, grant: Grant, now: dt.datetime) -> None:
        if grant.last_used_at is not None and now - grant.last_used_at < USE_NOTED_EVERY:
            return
        self._known[name] = dataclasses.replace(grant, last_used_at=now)
        with contextlib.suppress(StorageUnavailable):
            await self._postgres.write("touch_grant", grant.id, now)


def is_view(text: str) -> bool:
    """Say whether `text` can be a query of the dashboard."""
    return len(text) <= MAX_VIEW_LENGTH and re.fullmatch(VIEW, text) is not None


def is_label(text: str) -> bool:
    """Say whether a share link may be called so."""
    return len(text) <= MAX_NAME_LENGTH and re.fullmatch(LABEL, text) is not None


def _check_room(kind: Kind, name: str, there: list[Grant]) -> None:
    same = [grant for grant in there if grant.kind is kind]
    if len(same) >= MAX_GRANTS:
        what = "share links" if kind is Kind.SHARE else "tokens"
        raise GrantRefused(f"There are {MAX_GRANTS} {what} already; revoke one first.")
    if kind is Kind.TOKEN and any(grant.name == name for grant in same):
        raise GrantRefused(f"There is a token called {name} already; revoke it first.")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _grant(row: Record) -> Grant:
    return Grant(
        row["id"],
        Kind(row["kind"]),
        row["name"],
        row["view"],
        row["created_at"],
        row["expires_at"],
        row["last_used_at"],
    )
