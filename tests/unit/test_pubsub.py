"""Events as they come from a subscription, in whatever pieces."""

from __future__ import annotations

import pytest

from maicivy.storage.pubsub import _read_message
from maicivy.storage.replies import read_value
from maicivy.storage.wire import command

CHANNEL = b"analytics:realtime"
EVENTS = [b'{"type": "a"}', b"", b"a\r\nb", b"x" * 1200]
OTHERS = [
    command(b"message", b"analytics:changed", b"x"),
    command(b"message", b"analytics:realtime2", b"x"),
    command(b"pong", b""),
]


def test_events_are_told_from_everything_else() -> None:
    told = b"".join(command(b"message", CHANNEL, event) for event in EVENTS)
    for other in OTHERS:
        data, place, found = other + told + other, 0, []
        while (message := _read_message(data, place)) is not None:
            value, place = message
            found.append(value)
        expected = read_value(other, 0)
        assert expected is not None
        assert found == [expected[0], *EVENTS, expected[0]]
        assert place == len(data)


def test_a_broken_length_is_refused() -> None:
    broken = command(b"message", CHANNEL, b"x" * 10).replace(b"$10", b"$-100")
    with pytest.raises(ValueError, match="no message"):
        _read_message(broken, 0)


def test_an_event_is_read_when_it_is_whole() -> None:
    for event in EVENTS:
        told = command(b"message", CHANNEL, event)
        for size in range(len(told)):
            assert _read_message(told[:size], 0) is None
        assert _read_message(b"?" + told + b"*3", 1) == (event, 1 + len(told))
