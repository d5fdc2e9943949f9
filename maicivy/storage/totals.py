"""What Redis is told: absolute values and who came, in commands that can be repeated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from maicivy.periods import Period
from maicivy.storage import keys

if TYPE_CHECKING:
    import datetime as dt
    import uuid
    from collections.abc import Sequence

    from redis.asyncio.client import Pipeline

# Lua's stack is bounded.
MEMBERS_AT_ONCE = 1000

# Raises each counter to its value in ARGV, never lowers it, and renews its time to live.
SET_MAX = """
for i, key in ipairs(KEYS) do
  local told, ttl = ARGV[2 * i - 1], ARGV[2 * i]
  local old = tonumber(redis.call('GET', key) or '')
  if not old or tonumber(told) > old then redis.call('SET', key, told, 'EX', ttl)
  else redis.call('EXPIRE', key, ttl) end
end
return 1
"""

# Publishes each message of ARGV in the channel KEYS[1].
PUBLISH = """
for _, message in ipairs(ARGV) do redis.call('PUBLISH', KEYS[1], message) end
return 1
"""

# Adds the members that come after the times to live to each sketch, and renews its life.
ADD_VISITORS = """
local members = {}
for i = #KEYS + 1, #ARGV do members[i - #KEYS] = ARGV[i] end
for i, key in ipairs(KEYS) do
  redis.call('PFADD', key, unpack(members))
  redis.call('EXPIRE', key, ARGV[i])
end
return 1
"""


@dataclass(slots=True)
class Totals:
    """The absolute values that a commit returned, and who it was that came."""

    periods: list[tuple[Period, dt.date, int, int]] = field(default_factory=list)
    themes: list[tuple[str, int]] = field(default_factory=list)
    visitors_by_day: dict[dt.date, set[uuid.UUID]] = field(default_factory=dict)
    last_seen: dict[uuid.UUID, float] = field(default_factory=dict)


def expected_sketches(totals: Totals, today: dt.date, new_events: int) -> list[str]:
    """Return the sketches that were there before, as their periods had earlier events."""
    return [
        keys.unique_visitors(period, start)
        for period, start, events, _ in totals.periods
        if events > new_events and keys.ttl_seconds(period, start, today) > 0
    ]


def write_totals(pipe: Pipeline, totals: Totals, today: dt.date) -> None:
    """Queue the commands that bring Redis up to `totals`."""
    names: list[str] = []
    values: list[int] = []
    for period, start, events, letters in totals.periods:
        ttl = keys.ttl_seconds(period, start, today)
        if ttl > 0:
            names += (
                keys.stat(period, start, keys.TOTAL_EVENTS),
                keys.stat(period, start, keys.LETTERS),
            )
            values += events, ttl, letters, ttl
    if names:
        pipe.eval(SET_MAX, len(names), *names, *values)
    for day, visitors in totals.visitors_by_day.items():
        _add_visitors(pipe, day, [str(visitor) for visitor in visitors], today)
    if totals.themes:
        pipe.zadd(keys.THEMES, dict(totals.themes), gt=True)
        pipe.zremrangebyrank(keys.THEMES, 0, -keys.MAX_THEMES - 1)


def _add_visitors(pipe: Pipeline, day: dt.date, members: list[str], today: dt.date) -> None:
    """Queue that `members` were there on `day`, in pieces that a script can take."""
    lives = {}
    for period in Period:
        start = period.start(day)
        ttl = keys.ttl_seconds(period, start, today)
        if ttl > 0:
            lives[keys.unique_visitors(period, start)] = ttl
    for first in range(0, len(members) if lives else 0, MEMBERS_AT_ONCE):
        piece = members[first : first + MEMBERS_AT_ONCE]
        pipe.eval(ADD_VISITORS, len(lives), *lives, *lives.values(), *piece)


def write_active(pipe: Pipeline, last_seen: dict[uuid.UUID, float], now: dt.datetime) -> None:
    """Queue the commands that mark visitors active, and let those go who are not any more."""
    if last_seen:
        seen = {str(visitor): instant for visitor, instant in last_seen.items()}
        pipe.zadd(keys.ACTIVE, seen, gt=True)
        pipe.zremrangebyscore(keys.ACTIVE, "-inf", now.timestamp() - keys.ACTIVE_SECONDS)
        pipe.expire(keys.ACTIVE, keys.ACTIVE_SECONDS)


def write_messages(pipe: Pipeline, messages: Sequence[str]) -> None:
    """Queue the publication of `messages`, one for each event."""
    for first in range(0, len(messages), MEMBERS_AT_ONCE):
        piece = messages[first : first + MEMBERS_AT_ONCE]
        pipe.eval(PUBLISH, 1, keys.CHANNEL, *piece)
