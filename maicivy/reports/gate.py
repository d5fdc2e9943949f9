"""How many large reports are made at once, so that whoever asks for them never slows the events."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from maicivy.errors import StorageUnavailable, Unavailable
from maicivy.storage.postgres import SCAN_CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable

T = TypeVar("T")

MAX_WAITING = 16
PATIENCE_SECONDS = 2.0


class Gate:
    """Lets `places` large reports in; a few more wait for a moment, the others come back later."""

    def __init__(self, places: int = SCAN_CONNECTIONS) -> None:
        self._places = asyncio.Semaphore(places)
        self._waiting = 0
        self._not_begun: dict[Hashable, asyncio.Future[Any]] = {}

    @contextlib.asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Hold a place; raises `Unavailable` when too many wait, or after 2 s of waiting."""
        if self._waiting >= MAX_WAITING:
            raise _busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise _busy() from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    async def share(self, question: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """Return what `ask` returns, asking once for all who wait with the same `question`.

        One that has begun is not shared: it may not see what was stored before it was asked for.
        """
        waiting = self._not_begun.get(question)
        if waiting is not None:
            return await asyncio.shield(waiting)
        shared = self._not_begun[question] = asyncio.get_running_loop().create_future()
        try:
            answer = await self._begin(question, ask)
        except BaseException as error:
            given_up = isinstance(error, asyncio.CancelledError)
            shared.set_exception(StorageUnavailable("given up") if given_up else error)
            shared.exception()  # maybe nobody else waits for it
            raise
        shared.set_result(answer)
        return answer

    async def _begin(self, question: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self.enter())
            finally:
                del self._not_begun[question]
            return await ask()


def _busy() -> Unavailable:
    return Unavailable("Too many large reports are being made; try again shortly.", code="busy")
