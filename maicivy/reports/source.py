"""Where reports get their numbers: Redis while it can be relied on, PostgreSQL otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from maicivy.periods import Clock
    from maicivy.storage.postgres import Postgres
    from maicivy.storage.realtime import Realtime


@dataclass(frozen=True, slots=True)
class Source:
    """What every report needs to answer."""

    postgres: Postgres
    realtime: Realtime
    clock: Clock
    zone: ZoneInfo
