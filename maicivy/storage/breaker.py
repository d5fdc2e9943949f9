"""A circuit breaker: after a failure, callers are refused at once until one trial succeeds."""

from __future__ import annotations

import time

RETRY_SECONDS = 1.0


class Breaker:
    """Closed while calls succeed; after a failure it lets one caller a second try again."""

    def __init__(self, retry_seconds: float = RETRY_SECONDS) -> None:
        self._retry_seconds = retry_seconds
        self._retry_at = 0.0
        self.closed = True

    def allow(self) -> bool:
        """Say whether a call may go ahead; a trial call is given to the first who asks."""
        if self.closed:
            return True
        now = time.monotonic()
        if now < self._retry_at:
            return False
        self._retry_at = now + self._retry_seconds
        return True

    def succeeded(self) -> None:
        """Note that a call was answered."""
        self.closed = True

    def failed(self) -> None:
        """Note that a call was not answered."""
        self.closed = False
        self._retry_at = time.monotonic() + self._retry_seconds
