"""What Redis answers, byte by byte, to both readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import BusyLoadingError, ResponseError

from maicivy.storage.replies import PlainReplies, new_replies

if TYPE_CHECKING:
    from collections.abc import Callable

    from maicivy.storage.replies import Replies

VALUES: dict[bytes, Any] = {
    b":42\r\n": 42,
    b":-1\r\n": -1,
    b":0\r\n": 0,
    b"+OK\r\n": b"OK",
    b"$5\r\na\r\nbc\r\n": b"a\r\nbc",
    b"$0\r\n\r\n": b"",
    b"$-1\r\n": None,
    b"*-1\r\n": None,
    b"*0\r\n": [],
    b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n:3\r\n": [b"message", b"c", 3],
    b"*2\r\n*1\r\n$-1\r\n+x\r\n": [[None], b"x"],
}
both = pytest.mark.parametrize("make", [PlainReplies, new_replies])


def test_the_fast_reader_is_there() -> None:
    assert new_replies is not PlainReplies


@both
@pytest.mark.parametrize("whole", VALUES)
def test_a_value_is_read_when_it_is_whole(make: Callable[[], Replies], whole: bytes) -> None:
    for size in range(1, len(whole)):
        replies = make()
        assert replies.feed(whole[:size]) == []
        assert replies.feed(whole[size:] + b":7\r\n+next") == [VALUES[whole], 7]
        assert replies.feed(b"\r\n") == [b"next"]


@both
@pytest.mark.parametrize(
    ("line", "kind"),
    [(b"-ERR no\r\n", ResponseError), (b"-LOADING dataset\r\n", BusyLoadingError)],
)
def test_an_error_is_read_as_one(
    make: Callable[[], Replies], line: bytes, kind: type[Exception]
) -> None:
    [error, [inner]] = make().feed(line + b"*1\r\n" + line)
    assert [type(error), type(inner)] == [kind, kind]


@both
@pytest.mark.parametrize("junk", [b"HTTP/1.1 400\r\n", b":x\r\n", b"$x\r\n", b"*2\r\n!\r\n"])
def test_what_is_no_answer_is_refused(make: Callable[[], Replies], junk: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        make().feed(junk)
