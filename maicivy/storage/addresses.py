"""The keys that client addresses are hashed with: random, one a day, deleted when the day is over.

All instances share them through PostgreSQL, in a table that no write-ahead log knows and that is
rewritten when a key was deleted. Once a key is gone, the hashes made with it lead nowhere: that is
what "forgotten" means here.
"""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

from maicivy.errors import StorageUnavailable
from maicivy.logs import fields
from maicivy.periods import ONE_DAY
from maicivy.storage.postgres import affected

if TYPE_CHECKING:
    import datetime as dt

    from maicivy.storage.postgres import Postgres

log = logging.getLogger(__name__)

KEY_BYTES = 32
# Nobody who wants a key waits longer than this for one who waits for a backup to end.
LOCK_TIMEOUT = "100ms"


class AddressKeys:
    """The keys of today and tomorrow, in memory."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._keys: dict[dt.date, bytes] = {}
        # A program that ended between deleting and rewriting has left the rewriting to the next.
        self._to_rewrite = True

    def get(self, day: dt.date) -> bytes | None:
        """Return the key of `day` if it is in memory."""
        return self._keys.get(day)

    async def load(self, day: dt.date) -> bytes:
        """Return the key of `day`, made if nobody has made it yet; raises `StorageUnavailable`."""
        key = self._keys.get(day)
        return await self._agree(day) if key is None else key

    async def rotate(self, today: dt.date) -> None:
        """Have the keys of today and tomorrow, and forget those of earlier days everywhere."""
        for day in [day for day in self._keys if day < today]:
            del self._keys[day]
        for day in (today, today + ONE_DAY):
            await self._agree(day)
        if affected(await self._postgres.write("forget_address_keys", today)):
            self._to_rewrite = True
        if self._to_rewrite:
            await self._rewrite()

    async def _agree(self, day: dt.date) -> bytes:
        """Take the key that the database has of `day`; if it has none, give it ours or a new one.

        It loses them in a crash, and whoever is first gives them back for all.
        """
        ours = self._keys.get(day) or secrets.token_bytes(KEY_BYTES)
        await self._postgres.write("ensure_address_key", day, ours)
        rows = await self._postgres.write("select_address_key", day)
        if not rows:
            raise StorageUnavailable("the address key was taken away")
        agreed: bytes = rows[0]["key"]
        self._keys[day] = agreed
        return agreed

    async def _rewrite(self) -> None:
        """Put the keys into a new file, for deleted rows stay in the old one; else next time."""
        try:
            async with self._postgres.writing() as connection, connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                await self._postgres.run(connection, "lock_address_keys")
                kept = await self._postgres.run(connection, "select_address_keys")
                await self._postgres.run(connection, "truncate_address_keys")
                for row in kept:
                    await self._postgres.run(connection, "ensure_address_key", *row)
        except StorageUnavailable as error:
            log.warning("deleted address keys are still in a file", extra=fields(error=str(error)))
        else:
            self._to_rewrite = False
