"""Events in the writer's queue, and who waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from maicivy.errors import ApiError, Unavailable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from maicivy.ingest.event import Event

# True for an event that is a row now, False for one that had been stored under the same `event_id`.
Outcome: TypeAlias = bool | ApiError


class Group:
    """Events that came together and are answered together."""

    __slots__ = ("_left", "_outcomes", "future")

    def __init__(self, count: int, future: asyncio.Future[list[Outcome]]) -> None:
        self.future = future
        self._outcomes: list[Outcome] = [False] * count
        self._left = count

    def settle(self, index: int, outcome: Outcome) -> None:
        """Note what became of one event; the last one answers for all."""
        self._outcomes[index] = outcome
        self._left -= 1
        if not self._left and not self.future.done():
            self.future.set_result(self._outcomes)

    def fail(self, error: Unavailable) -> None:
        """Answer that they are not stored, or that nobody knows if some are already."""
        if not self.future.done():
            is_begun = self._left < len(self._outcomes)
            self.future.set_exception(in_doubt() if is_begun else error)


class Waiting:
    """One event in the queue, for which nobody waits.

    `committed` says that it is durable, `ended` that its way is over and entered in the ledger.
    """

    __slots__ = ("committed", "ended", "event")

    is_last = True

    def __init__(self, event: Event) -> None:
        self.event = event
        self.committed = False
        self.ended = False

    def settle(self, outcome: Outcome) -> None:
        """Tell whoever waits what became of it."""

    def fail(self, error: Unavailable) -> None:
        """Tell whoever waits that it could not be stored."""


class Lone(Waiting):
    """An event that came alone, and the future of whoever waits for it."""

    __slots__ = ("_future",)

    def __init__(self, event: Event, future: asyncio.Future[Outcome]) -> None:
        super().__init__(event)
        self._future = future

    def settle(self, outcome: Outcome) -> None:
        """Tell whoever waits what became of it."""
        if not self._future.done():
            self._future.set_result(outcome)

    def fail(self, error: Unavailable) -> None:
        """Tell whoever waits that it could not be stored."""
        if not self._future.done():
            self._future.set_exception(error)


class Grouped(Waiting):
    """An event that came with others."""

    __slots__ = ("_group", "_index", "is_last")

    def __init__(self, event: Event, group: Group, index: int, *, is_last: bool) -> None:
        super().__init__(event)
        self.is_last = is_last
        self._group = group
        self._index = index

    def settle(self, outcome: Outcome) -> None:
        """Tell whoever waits what became of it."""
        self._group.settle(self._index, outcome)

    def fail(self, error: Unavailable) -> None:
        """Tell whoever waits that it could not be stored."""
        self._group.fail(error)


def grouped(events: Sequence[Event], future: asyncio.Future[list[Outcome]]) -> list[Grouped]:
    """Return `events` as a group that `future` is the answer to."""
    group, last = Group(len(events), future), len(events) - 1
    return [
        Grouped(event, group, index, is_last=index == last) for index, event in enumerate(events)
    ]


def unavailable(reason: str, code: str = "database_unavailable") -> Unavailable:
    """Return the refusal of an event that is certainly not stored."""
    return Unavailable(f"{reason}; try again soon.", code=code)


def in_doubt() -> Unavailable:
    """Return the answer for an event of which nobody knows whether it is stored."""
    return Unavailable(
        "The database did not confirm the event, which may be stored all the same; "
        "sent again with the same event_id it is counted once.",
        code="in_doubt",
    )
