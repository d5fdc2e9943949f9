"""How many events the live feed shows when more come in than anybody can look at. All pure."""

from __future__ import annotations

# Beyond it the feed is a sample, the same for everybody.
EVENTS_PER_SECOND = 200


class Sampler:
    """Lets `rate` things a second pass, and as many at once after a second of rest."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._left = rate
        self._at = now

    def take(self, wanted: int, now: float) -> int:
        """Return how many of `wanted` may pass at `now`, in seconds of a clock that never jumps."""
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        passed = min(wanted, int(self._left))
        self._left -= passed
        return passed
