"""The names that clients gave their events: kept for a day, so that nothing is counted twice."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from maicivy.storage.postgres import affected

if TYPE_CHECKING:
    from maicivy.storage.postgres import Postgres

KEPT = dt.timedelta(days=1)
BITE_ROWS = 5_000


async def forget_event_keys(postgres: Postgres, now: dt.datetime) -> None:
    """Delete those older than a day, in short transactions; raises `StorageUnavailable`."""
    while affected(await postgres.write("forget_event_keys", now - KEPT, BITE_ROWS)) == BITE_ROWS:
        pass
