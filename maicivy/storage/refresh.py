"""Telling Redis of one commit: everything in one script, which is one answer to wait for.

All or nothing of it is seen by others. It can be repeated without harm: counters keep the larger
value, the rest is idempotent by nature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from maicivy.periods import Period
from maicivy.storage import keys
from maicivy.storage.totals import counters, sketch_lives

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from maicivy.storage.totals import Totals

# ARGV: 1 channel, 2 messages, one a line; 3 keys that should be there, by spaces; 4 counters, each
# with value and time to live; 5 lines of sketches with times to live, then "|" and who came;
# 6 active set, 7 scores and members, 8 the score that is over, 9 its time to live; 10 ranking,
# 11 scores and themes, 12 how many are kept; 13 epoch, counters of events and letters, 14 sketch;
# 15 channel of changes, 16 who makes this one, and
# how many events have no message. The last that it returns is how many heard of that.
# PUBLISH comes first, because a Redis that is full still does that.
REFRESH = r"""
local function words(text)
  local found = {}
  for word in string.gmatch(text, '%S+') do found[#found + 1] = word end
  return found
end
local function pieces(list, act)
  for first = 1, #list, 1000 do act(unpack(list, first, math.min(first + 999, #list))) end
end
for message in string.gmatch(ARGV[2], '[^\n]+') do redis.call('PUBLISH', ARGV[1], message) end
local there = redis.call('EXISTS', unpack(words(ARGV[3])))
local told = words(ARGV[4])
for i = 1, #told, 3 do
  local old = tonumber(redis.call('GET', told[i]) or '')
  if not old or tonumber(told[i + 1]) > old then
    redis.call('SET', told[i], told[i + 1], 'EX', told[i + 2])
  else
    redis.call('EXPIRE', told[i], told[i + 2])
  end
end
for line in string.gmatch(ARGV[5], '[^\n]+') do
  local sketches, members = string.match(line, '(.*)|(.*)')
  sketches, members = words(sketches), words(members)
  for i = 1, #sketches, 2 do
    pieces(members, function(...) redis.call('PFADD', sketches[i], ...) end)
    redis.call('EXPIRE', sketches[i], sketches[i + 1])
  end
end
pieces(words(ARGV[7]), function(...) redis.call('ZADD', ARGV[6], 'GT', ...) end)
redis.call('ZREMRANGEBYSCORE', ARGV[6], '-inf', ARGV[8])
redis.call('EXPIRE', ARGV[6], ARGV[9])
pieces(words(ARGV[11]), function(...) redis.call('ZADD', ARGV[10], 'GT', ...) end)
if ARGV[11] ~= '' then redis.call('ZREMRANGEBYRANK', ARGV[10], 0, -ARGV[12] - 1) end
local values = redis.call('MGET', unpack(words(ARGV[13])))
local active = redis.call('ZCOUNT', ARGV[6], '(' .. ARGV[8], '+inf')
local unique = redis.call('PFCOUNT', ARGV[14])
local heard = redis.call('PUBLISH', ARGV[15], ARGV[16])
return {there, values[1], values[2], values[3], active, unique, heard}
"""


class News(NamedTuple):
    """What is published of a commit: messages, and how many events have none."""

    messages: Sequence[str]
    skipped: int


def refresh_arguments(
    totals: Totals,
    messages: Sequence[str],
    expected: Sequence[str],
    now: dt.datetime,
    today: dt.date,
) -> list[Any]:
    """Return the arguments of `REFRESH`; `expected` are the keys that should be there.

    The last two, the channel of changes and a name, are left to the caller.
    """
    told = [f"{name} {value} {ttl}" for name, value, ttl in counters(totals, today)]
    seen = [f"{instant:.6f} {visitor}" for visitor, instant in totals.last_seen.items()]
    themes = [f"{views} {theme}" for theme, views in totals.themes]
    live = [keys.stat(Period.DAY, today, name) for name in (keys.TOTAL_EVENTS, keys.LETTERS)]
    return [
        keys.CHANNEL,
        "\n".join(messages),
        " ".join(expected),
        " ".join(told),
        "\n".join(_sketches(totals, today)),
        keys.ACTIVE,
        " ".join(seen),
        f"{now.timestamp() - keys.ACTIVE_SECONDS:.6f}",
        keys.ACTIVE_SECONDS,
        keys.THEMES,
        " ".join(themes),
        keys.MAX_THEMES,
        " ".join([keys.EPOCH, *live]),
        keys.unique_visitors(Period.DAY, today),
    ]


def _sketches(totals: Totals, today: dt.date) -> list[str]:
    lines = []
    for day, visitors in totals.visitors_by_day.items():
        lives = [f"{name} {ttl}" for name, ttl in sketch_lives(day, today).items()]
        lines.append(f"{' '.join(lives)}|{' '.join(visitors)}")
    return lines
