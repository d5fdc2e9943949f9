"""Live visitors of the demonstration, before a door that refuses, vanishes and gives cookies."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.config import Config
from maicivy.errors import OperatorError
from maicivy.history import live
from maicivy.history.live import Crowd, served

if TYPE_CHECKING:
    from collections.abc import Iterator


class Door(BaseHTTPRequestHandler):
    """Refuses every third request; gives whoever comes without a cookie one."""

    asked = 0
    taken: dict[str, list[str]]

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Door.asked += 1
        cookie = self.headers.get("Cookie") or f"session={Door.asked}"
        if Door.asked % 3 == 0:
            self.send_response(429 if Door.asked % 2 else 503)
            self.send_header("Retry-After", "0")
        else:
            assert self.headers["Sec-Fetch-Site"] == "same-origin"
            Door.taken[cookie] += [one["event_type"] for one in body["events"]]
            self.send_response(201)
            self.send_header("Set-Cookie", f"{cookie}; HttpOnly; Path=/")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def door() -> Iterator[int]:
    Door.asked, Door.taken = 0, defaultdict(list)
    with HTTPServer(("127.0.0.1", 0), Door) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_visitors_keep_their_cookies_and_nothing_is_lost(
    door: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PAUSE_SECONDS", 0.01)
    crowd = Crowd(Config(host="0.0.0.0", port=door, event_rate_limit=0), seed=3)
    monkeypatch.setattr(crowd, "_pause", 0.02)
    assert crowd.is_answered()
    sent = crowd.come(lambda _: None, seconds=2)
    stored = sum(map(len, Door.taken.values()))
    assert stored == sent > 20
    # everybody begins with a page, whoever was refused meanwhile
    assert {types[0] for types in Door.taken.values()} == {"page_view"}
    assert Door.asked > stored


def test_it_waits_for_whoever_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSE_SECONDS", 0.05)
    crowd = Crowd(Config(port=1), seed=1)
    told: list[str] = []
    assert not crowd.is_answered()
    assert crowd.come(told.append, seconds=0.3) == 0
    assert set(told) == {"demo: nobody answers, waiting"}


def test_a_program_that_does_not_start_is_a_sentence() -> None:
    with (
        pytest.raises(OperatorError, match="did not start"),
        served(Crowd(Config(port=1), seed=1), ["/bin/false"]),
    ):
        pass


def test_the_rate_limit_is_kept() -> None:
    """One address is one client, and the limit is so many requests a minute."""
    crowd = Crowd(Config(event_rate_limit=100), seed=1)
    assert 60 / crowd._pause * live.REQUESTS_A_VISIT == pytest.approx(60)
