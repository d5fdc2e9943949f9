"""Broken JSON of every kind is refused with a sentence; what PostgreSQL can hold is accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maicivy.errors import InvalidRequest
from maicivy.ingest.body import (
    MAX_DEPTH,
    MAX_KEYS,
    parse_events,
    parse_object,
    parse_strictly,
)


def nested(levels: int) -> bytes:
    return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"  \n", "invalid_json"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
        (b"\xff", "invalid_json"),
        (b'{"a":"\xed\xa0\x80"}', "invalid_json"),
        ('{"a":1}'.encode("utf-16"), "invalid_json"),
        (b"{", "invalid_json"),
        (b"{} {}", "invalid_json"),
        (b"{'a':1}", "invalid_json"),
        (b'{"a":NaN}', "invalid_json"),
        (b'{"a":-Infinity}', "invalid_json"),
        (b'{"a":1e400}', "invalid_json"),
        (b'{"a":-1e16}', "invalid_json"),
        (b'{"a":1,"a":2}', "invalid_json"),
        (b'{"a":{"b":1,"b":1}}', "invalid_json"),
        (b'{"a":9007199254740993}', "invalid_json"),
        (b'{"a":' + b"9" * 5000 + b"}", "invalid_json"),
        (b'{"a":"\\u0000"}', "invalid_json"),
        (b'{"\\u0000":1}', "invalid_json"),
        (b'{"a":["\\ud800"]}', "invalid_json"),
        (b'{"a":"\x00"}', "invalid_json"),
        (nested(MAX_DEPTH + 1), "invalid_json"),
        (nested(5000), "invalid_json"),
        (b"[" * 5000 + b"]" * 5000, "invalid_json"),
        (json.dumps(dict.fromkeys(map(str, range(MAX_KEYS + 1)))).encode(), "invalid_json"),
        (b"[]", "invalid_body"),
        (b'"x"', "invalid_body"),
        (b"null", "invalid_body"),
        (b"7", "invalid_body"),
    ],
)
def test_refused(body: bytes, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_object(body)
    assert caught.value.code == code
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b" {} \n", {}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a":9007199254740992,"b":-9007199254740992}', {"a": 2**53, "b": -(2**53)}),
        (b'{"a":1.5e15,"b":-1e-300}', {"a": 1.5e15, "b": -1e-300}),
        (b'{"a":"\\\\u0000"}', {"a": "\\u0000"}),
    ],
)
def test_accepted(body: bytes, value: dict[str, Any]) -> None:
    assert parse_object(body) == value


def test_as_deep_and_as_wide_as_allowed() -> None:
    assert parse_object(nested(MAX_DEPTH))
    assert len(parse_object(json.dumps(dict.fromkeys(map(str, range(MAX_KEYS)))).encode())) == 50


def outcome(body: bytes) -> dict[str, Any] | int:
    """Return what was read, or the status of the refusal."""
    try:
        return parse_object(body)
    except InvalidRequest as error:
        return int(error.status)


@given(st.binary(max_size=200))
def test_any_bytes_give_an_object_or_a_refusal(body: bytes) -> None:
    found = outcome(body)
    assert found == 400 or isinstance(found, dict)


_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(-(2.0**53), 2.0**53)
)
_values = st.recursive(
    _scalars,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(), part, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), _values, max_size=5))
def test_what_is_accepted_is_what_was_sent(value: dict[str, Any]) -> None:
    body = json.dumps(value).encode()
    found = outcome(body)
    if found == 400:
        brackets = body.count(b"{") + body.count(b"[")
        assert b"\\u0000" in body or b"\\ud" in body or brackets > MAX_DEPTH
    else:
        assert found == value


def told(read: Any, body: bytes) -> Any:
    """Return what `read` makes of `body`, with the types of its numbers, or the refusal."""
    try:
        return repr(read(body))
    except InvalidRequest as error:
        return error.code, error.message


@pytest.mark.parametrize(
    "body",
    [
        b'{"event_type":"page_view","page_url":"/cv?a=1","referrer":"","session_duration":12}',
        '{"event_type":"click","event_data":{"x":1,"y":-2.5,"ok":true,"été":["\\"",null]}}'.encode(),
    ],
)
def test_what_a_browser_writes_is_not_read_strictly(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = json.loads(body)
    monkeypatch.setattr("maicivy.ingest.body.parse_strictly", None)
    assert parse_object(body) == found
    events = b'{"events":[%s]}' % b",".join([body] * 100)
    assert parse_events(events) == [found] * 100


def test_what_must_be_refused_is_read_strictly() -> None:
    for body in (
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":9007199254740993}',
        b'{"a":[9007199254740994.0]}',
        b'{"a":[1e+16]}',
        b'{"a":1e16}',
        b'{"a":10000000000000000.0}',
        b'{"a":"\\u0000"}',
        b'{"a":"\\ud800"}',
        b'{"a":NaN}',
        nested(MAX_DEPTH + 1),
        nested(300),
        json.dumps({"a": [dict.fromkeys(map(str, range(MAX_KEYS + 1)))]}).encode(),
        json.dumps(dict.fromkeys(map(str, range(MAX_KEYS + 1))), separators=(",", ":")).encode(),
    ):
        assert told(parse_object, body) == told(parse_strictly, body)
        assert isinstance(told(parse_object, body), tuple)


def test_what_may_be_kept_reads_the_same() -> None:
    for body in (
        b'{"a":-0}',
        b'{"a":-0.0,"b":1.0,"c":1e2,"d":5e-324,"e":0.1e1}',
        b'{"a":9007199254740992,"b":-9007199254740992,"c":9007199254740992.0}',
        b' {"a": "\\/\x7f", "\\u00e9": [] }\r\n',
        nested(MAX_DEPTH),
    ):
        assert told(parse_object, body) == told(parse_strictly, body)
        assert isinstance(told(parse_object, body), str)
