"""Whether the numbers may have changed, in whichever process: what shared answers rest upon."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Changes:
    """A count that grows whenever numbers may have changed.

    Changes of this process are noted by whoever makes them, those of other processes come through
    the subscription. `name` is what this process signs its own with.
    """

    def __init__(self) -> None:
        self.name = secrets.token_hex(8).encode()
        self._count = 0
        self._unheard: Callable[[], bool] | None = None

    def note(self) -> None:
        """Count a change."""
        self._count += 1

    def listen(self, unheard: Callable[[], bool] | None) -> None:
        """Rely on a subscription from now on, or on none.

        `unheard` says, without waiting, whether something has come that is not yet noted.
        """
        self._unheard = unheard
        self.note()

    def concerns_others(self, heard: int) -> bool:
        """Say whether of `heard` subscribers one may be another process."""
        return heard > (self._unheard is not None)

    def count(self) -> int:
        """Return a count that is the same as at an earlier call only if nothing has changed since.

        While other processes are not heard every call returns another one.
        """
        if self._unheard is None or self._unheard():
            self._count += 1
        return self._count
