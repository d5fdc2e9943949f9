"""A client that posts events and notes of each what it was told: ok, failed or unknown."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import enum
import itertools
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.conftest import API, BROWSER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

WORKERS = 6
PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 15.0
EVENT_TYPE = "chaos"


class Outcome(enum.Enum):
    """What the client knows of an event."""

    OK = "ok"
    """201: it is stored."""
    FAILED = "failed"
    """It was refused, or never sent."""
    UNKNOWN = "unknown"
    """It was sent, and it was not said what became of it."""


@dataclass
class Answer:
    """One answer: when it came, how long it took, its status (0 for none)."""

    at: float
    seconds: float
    status: int


@dataclass
class Load:
    """Workers that post to `urls` in turn.

    Half of the events insist: they have an `event_id`, and are sent again until they are stored.
    """

    urls: Sequence[str]
    insist: bool = True
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    reads: list[Answer] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    codes: collections.Counter[str] = field(default_factory=collections.Counter)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _stopping: bool = False

    @contextlib.asynccontextmanager
    async def running(self, workers: int = WORKERS) -> AsyncIterator[None]:
        """Post while the block runs; afterwards every event has its outcome."""
        self._stopping = False
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        async with aiohttp.ClientSession(
            timeout=timeout,
            headers={"User-Agent": BROWSER},
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=0),
        ) as session:
            tasks = [asyncio.create_task(self._work(session, n)) for n in range(workers)]
            tasks.append(asyncio.create_task(self._ask(session)))
            try:
                yield
            finally:
                self._stopping = True
                await asyncio.gather(*tasks)

    def count(self, outcome: Outcome) -> int:
        """Return how many events ended so."""
        return sum(one is outcome for one in self.outcomes.values())

    def slowest(self, share: float, answers: list[Answer], since: float = 0.0) -> float:
        """Return the seconds within which `share` of the answers since then came."""
        times = sorted(answer.seconds for answer in answers if answer.at >= since)
        return times[min(len(times) - 1, int(len(times) * share))] if times else 0.0

    async def _work(self, session: aiohttp.ClientSession, worker: int) -> None:
        while not self._stopping:
            number = next(self._numbers)
            insists = self.insist and number % 2 == 0
            body = _body(number, uuid.uuid4() if insists else None)
            self.outcomes[number] = outcome = await self._post(session, number, body)
            while insists and outcome is not Outcome.OK:
                await asyncio.sleep(0.2)
                self.outcomes[number] = outcome = await self._post(session, number, body)
            await asyncio.sleep(PAUSE_SECONDS * (1 + worker / WORKERS))

    async def _post(
        self, session: aiohttp.ClientSession, number: int, body: dict[str, Any]
    ) -> Outcome:
        url = f"{self.urls[number % len(self.urls)]}{API}/event"
        headers = {"X-Forwarded-For": f"10.{number // 250 % 250}.{number % 250}.7"}
        started = time.monotonic()
        status, code = 0, ""
        try:
            async with session.post(url, json=body, headers=headers) as response:
                status = response.status
                code = (await response.json()).get("code", "")
        except aiohttp.ClientConnectorError:
            code = "not_connected"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            code = type(error).__name__
        now = time.monotonic()
        self.answers.append(Answer(now, now - started, status))
        self.codes[f"{status} {code}".strip()] += 1
        if status == 201:
            return Outcome.OK
        known = code == "not_connected" or (status >= 400 and code != "in_doubt")
        return Outcome.FAILED if known else Outcome.UNKNOWN

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        """Ask for the numbers all the while."""
        for path in itertools.cycle(("realtime", "stats?period=day", "themes")):
            if self._stopping:
                return
            started = time.monotonic()
            status = 0
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with session.get(f"{self.urls[0]}{API}/{path}") as response:
                    await response.read()
                    status = response.status
            now = time.monotonic()
            self.reads.append(Answer(now, now - started, status))
            await asyncio.sleep(0.1)


def _body(number: int, event_id: uuid.UUID | None) -> dict[str, Any]:
    data: dict[str, Any] = {"n": number, "x": number % 900, "y": number % 700}
    kind = EVENT_TYPE
    if number % 10 == 0:
        kind, data["letter_type"] = (
            "letter_generate",
            ("motivation", "anti_motivation")[number // 10 % 2],
        )
    elif number % 10 == 5:
        kind, data["theme"] = "cv_theme_change", f"t{number % 7}"
    body = {"event_type": kind, "event_data": data, "page_url": "/cv"}
    return body | ({"event_id": str(event_id)} if event_id else {})
