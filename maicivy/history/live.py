"""Visitors who come now: made up as the demonstration's, told to a running program as browsers do.

Everything goes through the program's own door, within its rate limit: one address is one client.
"""

from __future__ import annotations

import contextlib
import heapq
import http.client
import itertools
import json
import signal
import subprocess
import time
from http import HTTPStatus
from random import Random
from typing import TYPE_CHECKING, Any

from maicivy.errors import OperatorError
from maicivy.history.demo_visits import new_person, new_source, visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from maicivy.config import Config
    from maicivy.history.demo_visits import Person

EVENTS = "/api/v1/analytics/events"
TIMEOUT_SECONDS = 10.0
PAUSE_SECONDS = 1.0
START_POLL_SECONDS = 0.2
# A visit's requests, on average, and how much of the rate limit they may have together.
REQUESTS_A_VISIT = 9
SHARE_OF_LIMIT = 0.6
MOST_REQUESTS_A_MINUTE = 240
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where to reach who listens there


@contextlib.contextmanager
def served(crowd: Crowd, command: Sequence[str]) -> Iterator[None]:
    """Have a program answer the crowd meanwhile: the one that does already, or `command`.

    Raises `OperatorError` when that does not start.
    """
    if crowd.is_answered():
        yield
        return
    # in a session of its own, so that Ctrl-C ends the visitors first
    server = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - the program itself
    # ended by its service, too, it does not leave the program behind
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while not crowd.is_answered():
            if server.poll() is not None:
                raise OperatorError("The program did not start; it says why above.")
            time.sleep(START_POLL_SECONDS)
        yield
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


class Browser:
    """One visitor's browser: its headers and the cookie that it was given."""

    def __init__(self, person: Person, address: tuple[str, int]) -> None:
        self._address = address
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": person.agent.user_agent,
            "Accept-Language": person.language,
            "Sec-Fetch-Site": "same-origin",
        }

    def send(self, body: dict[str, Any]) -> float:
        """Send one event; return how many seconds to wait before it is sent again, 0 if it came.

        Raises `OSError` or `HTTPException` when nobody answers.
        """
        connection = http.client.HTTPConnection(*self._address, timeout=TIMEOUT_SECONDS)
        with contextlib.closing(connection):
            connection.request("POST", EVENTS, json.dumps({"events": [body]}), self._headers)
            answer = connection.getresponse()
            answer.read()
            cookie = answer.getheader("Set-Cookie")
            if cookie:
                self._headers["Cookie"] = cookie.partition(";")[0]
            if answer.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
                wait = answer.getheader("Retry-After") or ""
                return max(PAUSE_SECONDS, float(wait)) if wait.isdigit() else PAUSE_SECONDS
            return 0.0


class Crowd:
    """Visitors who come one after the other; `seed` decides what they do."""

    def __init__(self, config: Config, seed: int) -> None:
        self._random = Random(f"live {seed}")  # noqa: S311 - no secret comes of it
        self._address = EVERYWHERE.get(config.host, config.host), config.port
        limit = config.event_rate_limit or MOST_REQUESTS_A_MINUTE
        requests = min(MOST_REQUESTS_A_MINUTE, limit * SHARE_OF_LIMIT)
        self._pause = 60 * REQUESTS_A_VISIT / requests
        self._next_visit = time.monotonic()
        self._order = itertools.count()
        self._due: list[tuple[float, int, Browser, dict[str, Any]]] = []

    def is_answered(self) -> bool:
        """Say whether a program answers where the events are to go."""
        connection = http.client.HTTPConnection(*self._address, timeout=TIMEOUT_SECONDS)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("GET", "/health")
            return connection.getresponse().status == HTTPStatus.OK
        return False

    def come(self, tell: Callable[[str], None], seconds: float | None = None) -> int:
        """Let visitors come for so long, or until Ctrl-C; return how many events were sent."""
        sent, until = 0, time.monotonic() + seconds if seconds is not None else None
        while until is None or time.monotonic() < until:
            now = time.monotonic()
            if now >= self._next_visit:
                self._arrive(now)
            if not self._due or self._due[0][0] > now:
                wake = min([self._next_visit, *(one[0] for one in self._due[:1])])
                time.sleep(min(max(wake - now, 0.01), PAUSE_SECONDS))
                continue
            if self._send(tell):
                sent += 1
                tell(f"demo: {sent:,} events sent")
        return sent

    def _arrive(self, now: float) -> None:
        """Have somebody begin a visit, and decide when the next one does."""
        person = new_person(self._random)
        browser = Browser(person, self._address)
        for step in visit(self._random, person, new_source(self._random, spike=False)):
            heapq.heappush(self._due, (now + step.seconds, next(self._order), browser, step.body))
        self._next_visit = now + self._random.expovariate(1 / self._pause)

    def _send(self, tell: Callable[[str], None]) -> bool:
        """Send what is due next; False if it has to wait."""
        _, order, browser, body = heapq.heappop(self._due)
        try:
            wait = browser.send(body)
        except (OSError, http.client.HTTPException):
            tell("demo: nobody answers, waiting")
            wait = PAUSE_SECONDS
        if wait:
            # nobody overtakes, for the rate limit is that of one address
            heapq.heappush(self._due, (time.monotonic(), order, browser, body))
            time.sleep(min(wait, 60.0))
        return not wait
