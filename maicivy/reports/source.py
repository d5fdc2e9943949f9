"""Where reports get their numbers: Redis while it can be relied on, PostgreSQL otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from maicivy.reports.gate import Gate

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from maicivy.periods import Clock
    from maicivy.storage.postgres import Postgres, Record
    from maicivy.storage.realtime import Realtime
    from maicivy.storage.visits import Visits


@dataclass(frozen=True, slots=True)
class Source:
    """What every report needs to answer."""

    postgres: Postgres
    realtime: Realtime
    visits: Visits
    clock: Clock
    zone: ZoneInfo
    gate: Gate = field(default_factory=Gate)
    past: dict[Any, dict[str, Any]] = field(default_factory=dict)
    """Totals of times that are over, by what was asked."""

    async def scan(self, name: str, *values: Any) -> list[Record]:
        """Run a report that may read many rows, when there is a place for it.

        Those who wait with the same question are answered together.
        """
        question = name, *(tuple(value) if isinstance(value, list) else value for value in values)
        return await self.gate.share(question, lambda: self.postgres.scan(name, *values))
