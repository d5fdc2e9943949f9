"""The rate limit of `POST /event`: a sliding window, shared through Redis, local without it."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from maicivy.errors import StorageUnavailable
from maicivy.storage.places import Allowance, Places

if TYPE_CHECKING:
    from collections.abc import Callable

    from maicivy.storage.realtime import Realtime

WINDOW_SECONDS = 60
MAX_CLIENTS = 10_000


class SlidingLog:
    """The last places that each client took, in this process; the oldest clients are forgotten.

    Memory is bounded by `MAX_CLIENTS` times the limit.
    """

    def __init__(
        self,
        limit: int,
        window_seconds: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._window = window_seconds
        self._clock = clock
        self._taken: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, client: str, weight: int = 1) -> Allowance:
        """Take `weight` places for `client` if so many are left."""
        now = self._clock()
        log = self._taken.get(client)
        if log is None:
            log = self._taken[client] = deque()
            if len(self._taken) > MAX_CLIENTS:
                self._taken.popitem(last=False)
        else:
            self._taken.move_to_end(client)
            while log and log[0] <= now - self._window:
                log.popleft()
        allowed = len(log) + weight <= self._limit
        if allowed:
            log.extend([now] * weight)
        reset = log[0] + self._window - now if log else self._window
        return Allowance(allowed, self._limit - len(log), reset)

    def give_back(self, client: str, weight: int = 1) -> None:
        """Return the places that `client` took last."""
        log = self._taken.get(client, deque())
        for _ in range(min(weight, len(log))):
            log.pop()


class RateLimiter:
    """At most `limit` events in any minute for one client, across every process on one Redis."""

    def __init__(self, realtime: Realtime, limit: int) -> None:
        self.limit = limit
        self._places = Places(realtime, limit, WINDOW_SECONDS)
        self._local = SlidingLog(limit)

    async def take(self, client: str, weight: int = 1) -> Allowance:
        """Take `weight` places for `client`, or none.

        Who is over the limit here is over it everywhere, so a flood costs no round trip.
        """
        local = self._local.take(client, weight)
        if not local.allowed:
            return local
        try:
            shared = await self._places.take(client, weight)
        except StorageUnavailable:
            return local
        if not shared.allowed:
            self._local.give_back(client, weight)
        return shared
