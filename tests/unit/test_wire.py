"""What Redis answers, byte by byte."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import BusyLoadingError, ResponseError

from maicivy.storage.wire import command, read_value

VALUES: dict[bytes, Any] = {
    b":42\r\n": 42,
    b":-1\r\n": -1,
    b"+OK\r\n": b"OK",
    b"$5\r\na\r\nbc\r\n": b"a\r\nbc",
    b"$0\r\n\r\n": b"",
    b"$-1\r\n": None,
    b"*-1\r\n": None,
    b"*0\r\n": [],
    b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n:3\r\n": [b"message", b"c", 3],
    b"*2\r\n*1\r\n$-1\r\n+x\r\n": [[None], b"x"],
}


@pytest.mark.parametrize("whole", VALUES)
def test_a_value_is_read_when_it_is_whole(whole: bytes) -> None:
    for size in range(len(whole)):
        assert read_value(whole[:size], 0) is None
    assert read_value(b"?" + whole + b"+next", 1) == (VALUES[whole], len(whole) + 1)


@pytest.mark.parametrize(
    ("line", "kind"),
    [(b"-ERR no\r\n", ResponseError), (b"-LOADING dataset\r\n", BusyLoadingError)],
)
def test_an_error_is_read_as_one(line: bytes, kind: type[Exception]) -> None:
    found = read_value(line, 0)
    assert found is not None
    assert type(found[0]) is kind


@pytest.mark.parametrize("junk", [b"HTTP/1.1 400\r\n", b":x\r\n", b"$x\r\n", b"*2\r\n!\r\n"])
def test_what_is_no_answer_is_refused(junk: bytes) -> None:
    with pytest.raises(ValueError, match=r"no value|invalid literal"):
        read_value(junk, 0)


def test_a_command_is_written_as_redis_reads_it() -> None:
    assert command(b"PING") == b"*1\r\n$4\r\nPING\r\n"
    assert command(b"SET", b"k", b"\r\n") == b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n"
