"""Places in sliding windows, kept in Redis on its own clock, taken for many callers at once.

Whoever asks while an answer is under way waits for the next one, so that a busy program makes one
round trip for all who have come meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from maicivy.errors import StorageUnavailable
from maicivy.storage import keys

if TYPE_CHECKING:
    from maicivy.storage.realtime import Realtime

AT_ONCE = 200

log = logging.getLogger(__name__)

# A sliding log for each client: the words of ARGV[3] are by turns its key and how many places to
# take among the last ARGV[2] ms, if so many of ARGV[1] are free. A log is a list of instants in ms,
# the oldest first. Returns three words for each client: whether they were free, how many are left,
# and in how many ms the oldest falls out.
TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local stamp = string.format('%d', now)
local answers, i = {}, 0
for key, weight in string.gmatch(ARGV[3], '(%S+) (%S+)') do
  weight = tonumber(weight)
  local oldest = tonumber(redis.call('LINDEX', key, 0) or now)
  while oldest <= now - window do
    redis.call('LPOP', key)
    oldest = tonumber(redis.call('LINDEX', key, 0) or now)
  end
  local stamps = {}
  for n = 1, weight do stamps[n] = stamp end
  local taken = redis.call('RPUSH', key, unpack(stamps))
  local allowed = taken <= limit
  if allowed then
    redis.call('PEXPIRE', key, window)
  else
    redis.call('LTRIM', key, 0, -weight - 1)
    taken = taken - weight
  end
  answers[i + 1] = allowed and 1 or 0
  answers[i + 2] = limit - taken
  answers[i + 3] = string.format('%d', oldest + window - now)
  i = i + 3
end
return table.concat(answers, ' ')
"""


class Allowance(NamedTuple):
    """What a rate limit answers: may the caller pass, how many are left, seconds to the next."""

    allowed: bool
    remaining: int
    reset_seconds: float


class _Asked(NamedTuple):
    """Who waits for how many places."""

    client: str
    weight: int
    answer: asyncio.Future[Allowance]


class Places:
    """At most `limit` places in `window_seconds` for each client."""

    def __init__(self, realtime: Realtime, limit: int, window_seconds: int) -> None:
        self._realtime = realtime
        self._limit = limit
        self._window_seconds = window_seconds
        self._asked: list[_Asked] = []
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def take(self, client: str, weight: int) -> Allowance:
        """Take `weight` places for `client`, or none; raises `StorageUnavailable` within 1 s."""
        loop = self._loop or self._running()
        answer: asyncio.Future[Allowance] = loop.create_future()
        self._asked.append(_Asked(client, weight, answer))
        if self._task is None:
            self._task = loop.create_task(self._answer_all())
        return await answer

    def _running(self) -> asyncio.AbstractEventLoop:
        # asking for it costs a system call
        self._loop = asyncio.get_running_loop()
        return self._loop

    async def _answer_all(self) -> None:
        """Answer until nobody waits any more."""
        try:
            while self._asked:
                asked, self._asked = self._asked[:AT_ONCE], self._asked[AT_ONCE:]
                await self._answer([one for one in asked if not one.answer.done()])
        finally:
            self._task = None

    async def _answer(self, asked: list[_Asked]) -> None:
        """Answer each of `asked`, whatever happens."""
        failure = StorageUnavailable("no answer to the rate limit")
        try:
            numbers = iter(await self._ask(asked))
            for one, *answer in zip(asked, numbers, numbers, numbers, strict=True):
                if not one.answer.done():
                    allowed, remaining, reset = answer
                    one.answer.set_result(Allowance(bool(allowed), remaining, reset / 1000))
        except StorageUnavailable as error:
            failure = error
        except ValueError:
            log.exception("Redis answered nonsense to the rate limit")
        finally:
            for one in asked:
                if not one.answer.done():
                    one.answer.set_exception(failure)

    async def _ask(self, asked: list[_Asked]) -> list[int]:
        if not asked:
            return []
        wanted = " ".join([f"{keys.RATE_LIMIT}{one.client} {one.weight}" for one in asked])
        window = self._window_seconds * 1000
        reply = await self._realtime.run("ratelimit", TAKE, self._limit, window, wanted)
        return list(map(int, reply.split()))
