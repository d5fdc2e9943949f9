"""The keys that client addresses are hashed with: random, one a day, deleted when the day is over.

All instances share them through PostgreSQL. Once a key is gone, the hashes made with it lead
nowhere: that is what "forgotten" means here.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from maicivy.periods import ONE_DAY

if TYPE_CHECKING:
    import datetime as dt

    from maicivy.storage.postgres import Postgres

KEY_BYTES = 32


class AddressKeys:
    """The keys of today and tomorrow, in memory."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._keys: dict[dt.date, bytes] = {}

    def get(self, day: dt.date) -> bytes | None:
        """Return the key of `day` if it is in memory."""
        return self._keys.get(day)

    async def load(self, day: dt.date) -> bytes:
        """Return the key of `day`, made if nobody has made it yet; raises `StorageUnavailable`."""
        key = self._keys.get(day)
        if key is None:
            await self._postgres.write("ensure_address_key", day, secrets.token_bytes(KEY_BYTES))
            [row] = await self._postgres.write("select_address_key", day)
            key = self._keys[day] = row["key"]
        return key

    async def rotate(self, today: dt.date) -> None:
        """Have the keys of today and tomorrow, and forget those of earlier days everywhere."""
        for day in (today, today + ONE_DAY):
            await self.load(day)
        await self._postgres.write("forget_address_keys", today)
        for day in [day for day in self._keys if day < today]:
            del self._keys[day]
