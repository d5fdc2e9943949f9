"""Both ways to write JSON say the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from maicivy import jsontext

numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
)


@given(values)
def test_the_fast_and_the_standard_writer_write_the_same_value(value: Any) -> None:
    fast, standard = jsontext.encode(value), jsontext.standard(value)
    assert json.loads(fast) == json.loads(standard) == value
    assert jsontext.encode_text(value) == fast.decode()


@given(values)
def test_what_was_written_is_read_exactly(value: Any) -> None:
    assert jsontext.read_exact(jsontext.encode(value)) in (value, None)
    assert jsontext.read_exact(jsontext.encode({"a": [value]})[:-1]) is None


def test_what_is_written_otherwise_is_not_read() -> None:
    assert jsontext.read_exact(b'{"a":[1,0.5,"\xc3\xa9"]}') == {"a": [1, 0.5, "é"]}
    for other in (
        b'{"a": 1}',
        b'{"a":1,"a":1}',
        b"9007199254740993",
        b"1e2",
        b"{",
        b"-0",
        b'"\xff"',
    ):
        assert jsontext.read_exact(other) is None
