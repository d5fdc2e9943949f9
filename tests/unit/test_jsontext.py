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
