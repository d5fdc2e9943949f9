"""What Redis answers (RESP 2): read by hiredis where it is installed (extra `speed`), else here.

An error is returned as the exception that it is; a status is bytes like any text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from redis.exceptions import BusyLoadingError, RedisError, ResponseError

if TYPE_CHECKING:
    from collections.abc import Callable


class Replies(Protocol):
    """Makes values of the bytes of one connection."""

    def feed(self, data: bytes) -> list[Any]:
        """Return the values that are whole now; raises `ValueError` for what is none."""


class PlainReplies:
    """The reader that needs nothing."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[Any]:
        """Return the values that are whole now; raises `ValueError` for what is none."""
        data, place, values = self._held + data, 0, []
        while (found := read_value(data, place)) is not None:
            value, place = found
            values.append(value)
        self._held = data[place:]
        return values


new_replies: Callable[[], Replies] = PlainReplies
try:
    import hiredis
except ImportError:  # pragma: no cover - the tests install it
    pass
else:

    class FastReplies:
        """The reader of hiredis."""

        def __init__(self) -> None:
            self._reader = hiredis.Reader(protocolError=ValueError, replyError=_error)

        def feed(self, data: bytes) -> list[Any]:
            """Return the values that are whole now; raises `ValueError` for what is none."""
            reader, values = self._reader, []
            reader.feed(data)
            # no value is False, which says that none is whole
            while (value := reader.gets()) is not False:
                values.append(value)
            return values

    new_replies = FastReplies


def read_value(data: bytes, start: int) -> tuple[Any, int] | None:
    """Return the value (RESP 2) that begins at `start`, and where the next one does.

    None when it is not whole yet. An error is returned as the exception that it is. Raises
    `ValueError` for what is no value.
    """
    end = data.find(b"\r\n", start)
    if end < 0:
        return None
    kind, head, place = data[start : start + 1], data[start + 1 : end], end + 2
    if kind == b":":
        return int(head), place
    if kind == b"+":
        return head, place
    if kind == b"-":
        return _error(head.decode(errors="replace")), place
    if kind == b"$":
        return _bulk(data, place, int(head))
    if kind == b"*":
        return _array(data, place, int(head))
    raise ValueError("no value of Redis")


def _bulk(data: bytes, place: int, length: int) -> tuple[bytes | None, int] | None:
    if length < 0:
        return None, place
    end = place + length
    return (data[place:end], end + 2) if len(data) >= end + 2 else None


def _array(data: bytes, place: int, length: int) -> tuple[list[Any] | None, int] | None:
    if length < 0:
        return None, place
    values = []
    for _ in range(length):
        found = read_value(data, place)
        if found is None:
            return None
        value, place = found
        values.append(value)
    return values, place


def _error(text: str) -> RedisError:
    return BusyLoadingError(text) if text.startswith("LOADING") else ResponseError(text)
