"""What Redis is told: absolute values and who came, in commands that can be repeated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from maicivy.periods import Period
from maicivy.storage import keys

if TYPE_CHECKING:
    import datetime as dt

    from redis.asyncio.client import Pipeline

# Lua's stack is bounded. Many values are sent as one text, which costs the client far less than as
# many arguments.
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

# Adds the words of the last ARGV to each sketch, whose time to live stands before, and renews that.
ADD_VISITORS = """
local members = {}
for member in string.gmatch(ARGV[#ARGV], '%S+') do members[#members + 1] = member end
for i, key in ipairs(KEYS) do
  redis.call('PFADD', key, unpack(members))
  redis.call('EXPIRE', key, ARGV[i])
end
return 1
"""

# Raises members of a sorted set to scores: the words of ARGV[1], a score and a member by turns.
MARK = """
local pairs = {}
for word in string.gmatch(ARGV[1], '%S+') do pairs[#pairs + 1] = word end
return redis.call('ZADD', KEYS[1], 'GT', unpack(pairs))
"""


@dataclass(slots=True)
class Totals:
    """The absolute values that a commit returned, and who it was that came."""

    periods: list[tuple[Period, dt.date, int, int]] = field(default_factory=list)
    themes: list[tuple[str, int]] = field(default_factory=list)
    visitors_by_day: dict[dt.date, set[str]] = field(default_factory=dict)
    last_seen: dict[str, float] = field(default_factory=dict)


def expected_sketches(totals: Totals, today: dt.date, new_events: int) -> list[str]:
    """Return the sketches that were there before, as their periods had earlier events."""
    return [
        keys.unique_visitors(period, start)
        for period, start, events, _ in totals.periods
        if events > new_events and keys.ttl_seconds(period, start, today) > 0
    ]


def counters(totals: Totals, today: dt.date) -> list[tuple[str, int, int]]:
    """Return the counters of `totals` that are still kept: key, value, seconds to live."""
    told = []
    for period, start, events, letters in totals.periods:
        ttl = keys.ttl_seconds(period, start, today)
        if ttl > 0:
            told.append((keys.stat(period, start, keys.TOTAL_EVENTS), events, ttl))
            told.append((keys.stat(period, start, keys.LETTERS), letters, ttl))
    return told


def sketch_lives(day: dt.date, today: dt.date) -> dict[str, int]:
    """Return the sketches that visitors of `day` belong to, and their seconds to live."""
    lives = {}
    for period in Period:
        start = period.start(day)
        ttl = keys.ttl_seconds(period, start, today)
        if ttl > 0:
            lives[keys.unique_visitors(period, start)] = ttl
    return lives


def write_totals(pipe: Pipeline, totals: Totals, today: dt.date) -> None:
    """Queue the commands that bring Redis up to `totals`."""
    told = counters(totals, today)
    if told:
        values = [number for _, value, ttl in told for number in (value, ttl)]
        pipe.eval(SET_MAX, len(told), *(name for name, _, _ in told), *values)
    for day, visitors in totals.visitors_by_day.items():
        _add_visitors(pipe, sketch_lives(day, today), list(visitors))
    if totals.themes:
        pipe.zadd(keys.THEMES, dict(totals.themes), gt=True)
        pipe.zremrangebyrank(keys.THEMES, 0, -keys.MAX_THEMES - 1)


def _add_visitors(pipe: Pipeline, lives: dict[str, int], members: list[str]) -> None:
    """Queue that `members` were there, in pieces that a script can take."""
    for first in range(0, len(members) if lives else 0, MEMBERS_AT_ONCE):
        piece = " ".join(members[first : first + MEMBERS_AT_ONCE])
        pipe.eval(ADD_VISITORS, len(lives), *lives, *lives.values(), piece)


def write_active(pipe: Pipeline, last_seen: dict[str, float], now: dt.datetime) -> None:
    """Queue the commands that mark visitors active, and let those go who are not any more."""
    seen = [f"{instant:.6f} {visitor}" for visitor, instant in last_seen.items()]
    for first in range(0, len(seen), MEMBERS_AT_ONCE):
        pipe.eval(MARK, 1, keys.ACTIVE, " ".join(seen[first : first + MEMBERS_AT_ONCE]))
    if seen:
        pipe.zremrangebyscore(keys.ACTIVE, "-inf", now.timestamp() - keys.ACTIVE_SECONDS)
        pipe.expire(keys.ACTIVE, keys.ACTIVE_SECONDS)
