"""Whatever a body holds, it is stored whole or refused with a sentence; nothing else happens."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from maicivy.errors import InvalidRequest
from maicivy.ingest.body import parse_object, parse_strictly
from maicivy.ingest.event import Fields, check_fields
from tests.storable import KEPT, OWN_HOSTS, check_body, check_object, check_sentence

if TYPE_CHECKING:
    from collections.abc import Callable

# Texts as JSON can spell them, lone surrogates and U+0000 among them.
TEXTS = st.sampled_from(["\x00", "\ud800", "a\udc00", "\ude00\ud83d", "a\x00"]) | st.text(
    max_size=30
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**53, 2**53 + 1, 2**31, -1, 0, 5.0])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda part: st.lists(part, max_size=4) | st.dictionaries(TEXTS, part, max_size=4),
    max_leaves=10,
)


def nested(value: Any, levels: int) -> Any:
    """Return `value` inside that many objects and lists."""
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return value


VALUES |= st.builds(nested, VALUES, st.integers(min_value=1, max_value=12))
URLS = st.builds(
    "".join,
    st.lists(
        st.sampled_from(
            [
                *("http://", "https://", "HTTP:", "//", "/", "\\", "?", "#", "&", "=", "@", ":"),
                *("javascript:", "data:", "own.example", "[::1]", "[", "]", "%", "%00", "%2f"),
                *("theme=", "a", "é", " ", "\x7f", "\ud800", "x" * 490, "cv", ";", "..", "%40"),
            ]
        ),
        max_size=8,
    ),
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "event_type": st.sampled_from(
            ["page_view", "cv_theme_selected", "letter_generated", "letter_generate", "x", "1x"]
        )
        | VALUES,
        "event_data": st.dictionaries(
            st.sampled_from(["letter_type", "type", "theme", "x", "email"]) | TEXTS,
            st.sampled_from(["motivation", "anti_motivation", "a@b.example"]) | VALUES,
            max_size=5,
        )
        | VALUES,
        "page_url": URLS | VALUES,
        "referrer": URLS | VALUES,
        "session_duration": NUMBERS | VALUES,
        "other": VALUES,
    },
)
# Pieces that JSON is made of, and some that it is not.
PIECES = st.sampled_from(
    [
        *(b"{", b"}", b"[", b"]", b":", b",", b'"', b"'", b" ", b"\n", b"\x00", b"\xff"),
        *(b'"a"', b'"b"', b"1", b"-", b"1e400", b"0.1", b"NaN", b"Infinity", b"true", b"null"),
        *(b"9007199254740993", b'"\\u0000"', b'"\\ud800"', b"\\u0061", b"\xed\xa0\x80", b"//"),
        *(b"\xef\xbb\xbf", b"\xc0\xaf", b'{"event_type":"x"', b'"event_data":', b'{"a":' * 9),
    ]
)


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary(max_size=300) | st.lists(PIECES, max_size=25).map(b"".join))
@example(b'{"event_type":"x","event_data":{"a":1,"\\u0061":2}}')
def test_any_bytes_are_stored_whole_or_refused(body: bytes) -> None:
    check_body(body)


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary(max_size=300) | st.lists(PIECES, max_size=25).map(b"".join))
def test_what_the_parser_lets_through_is_an_object_that_can_be_stored(body: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        check_object(parse_object(body))


def _told(read: Callable[[bytes], Any], body: bytes) -> object:
    """Return what is read, with the types of its numbers, or the refusal."""
    try:
        return repr(read(body))
    except InvalidRequest as error:
        return error.code, error.message


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary(max_size=300) | st.lists(PIECES, max_size=25).map(b"".join))
@example(b'{"a":1,"a":1}')
@example(b'{"a":9007199254740993}')
def test_any_bytes_are_read_as_by_the_strict_reader(body: bytes) -> None:
    assert _told(parse_object, body) == _told(parse_strictly, body)


@settings(deadline=None)  # a busy machine is no failure
@given(st.dictionaries(TEXTS, VALUES, max_size=5) | BODIES)
@example({"a": 2**53 + 2.0})
@example({"a": [1e16]})
@example({"a": nested(1, 8)})
@example({"a": "\x00"})
@example({"a": "\ud800"})
@example({str(number): None for number in range(51)})
def test_any_value_is_read_as_by_the_strict_reader(value: dict[str, Any]) -> None:
    for separators in (None, (",", ":")):
        for is_ascii in (True, False):
            text = json.dumps(value, separators=separators, ensure_ascii=is_ascii)
            body = text.encode(errors="surrogatepass")
            assert _told(parse_object, body) == _told(parse_strictly, body)


@settings(deadline=None)  # a busy machine is no failure
@given(BODIES, st.none() | URLS)
@example({"event_type": "x", "event_data": {"a": "\x00"}}, None)
@example({"event_type": "x", "event_data": {"a": "\ud800"}}, None)
@example({"event_type": "x", "event_data": {"a": nested(1, 7)}}, None)
@example({"event_type": "x"}, "\udcfd")  # bytes of a header that are no UTF-8
@example({"event_type": "x"}, "http://[")
def test_any_event_is_stored_or_refused(body: dict[str, Any], referer: str | None) -> None:
    found = check_body(json.dumps(body).encode(), referer)
    assert isinstance(found, Fields | InvalidRequest)


@settings(deadline=None)  # a busy machine is no failure
@given(st.dictionaries(TEXTS, VALUES, max_size=5) | BODIES, st.none() | URLS)
def test_the_fields_of_any_object_are_read_or_refused(
    body: dict[str, Any], referer: str | None
) -> None:
    """Even one that no parser has looked at, which keeps out what cannot be stored."""
    try:
        assert isinstance(check_fields(body, KEPT, OWN_HOSTS, referer), Fields)
    except InvalidRequest as error:
        check_sentence(error)
