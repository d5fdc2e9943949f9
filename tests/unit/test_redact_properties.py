"""Whatever is put around a secret, it does not survive; what is redacted stays; time is linear."""

from __future__ import annotations

import json
import random
import string
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maicivy.ingest import redact, redact_text
from maicivy.ingest.redact import REDACTED, redact_data, redact_url, redact_value

if TYPE_CHECKING:
    from collections.abc import Callable

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
SECRET_KEYS = (
    "email",
    "phoneNumber",
    "mot_de_passe",
    "access_token",
    "prénom",
    "client_name",
    "sid",
)


def _words(text: str) -> list[str]:
    return text.split()


_SPECIAL = st.sampled_from(
    [
        *_words("@ . % %40 %25 = & ; : :: / // ? # + - [redacted] redacted email name token"),
        *_words("eyJ 0 06 12 192.168. 4111 a B f é ( ) [ ] \" ' { ,"),
        *(" ", "\n", "\u200b", "Bearer ", "Mozilla/5.0 "),
    ]
)
TEXTS = st.one_of(st.text(max_size=60), st.lists(_SPECIAL, max_size=40).map("".join))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False))
JSON = st.recursive(
    st.one_of(SCALARS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
PLAIN = st.sampled_from(["theme", "x", "label", "items", "page_name", "session_duration"])
WORDS = st.lists(
    st.sampled_from(["the", "dark", "page", "été", "3", "v2", "ok!", "(yes)"]), max_size=5
)
TEMPLATES = _words(
    """
    /p/{} /p/{}/q?a=1 /?a=1&q={}&b=2 /?{}=1 /?{} /#{} /#/a?b={} https://example.com/x/{} /;p={}
    ?next=https://x.fr/%3Fq%3D{} /?token={}
    """
)
CANARIES = [
    "canary.bird@example.com",
    "canary+tag@exämple.fr",
    "+33 6 98 76 54 32",
    "06.98.76.54.32",
    "(555) 987-6543",
    JWT,
    "sk_live_canary0123456789",
    "ghp_canary0123456789abcd",
    "AKIACANARY0123456789",
    "f00dcafe" * 4,
    "203.0.113.77",
    "2001:db8:cafe::77",
    "4111 1111 1111 1111",
    "FR7630006000011234567890189",
    "Bearer canary",
    "Mozilla/5.0 (Canary; Bird) Gecko",
]


@given(TEXTS)
@example("12 34 56 78 90 5a@b.fr")
@example("06 12 34 56 78a@b.fr 06 12 34 56 78")
@example("cookie: redacted; sid=abc")
@example("x?name=[redacted]#redacted")
def test_redacting_a_text_twice_is_redacting_it_once(text: str) -> None:
    once = redact_value(text)
    assert redact_value(once) == once


@given(TEXTS)
@example("http://a@b@c/")
@example("a=b=c#d=e?f@g")
def test_redacting_a_url_twice_is_redacting_it_once(url: str) -> None:
    once = redact_url(url)
    assert redact_url(once) == once


@given(st.dictionaries(TEXTS, JSON, max_size=4))
def test_redacting_data_twice_is_redacting_it_once(data: dict[str, Any]) -> None:
    once = redact_data(data)
    assert redact_data(once) == once


@given(
    WORDS, st.sampled_from(CANARIES), WORDS, st.sampled_from([" ", "\n", ", ", " <", "\t", " | "])
)
def test_a_canary_in_a_text_does_not_survive(
    before: list[str], canary: str, after: list[str], gap: str
) -> None:
    text = gap.join([*before, canary, *after])
    assert canary not in redact_value(text)
    assert canary.rsplit(maxsplit=1)[-1] not in redact_value(text)


@given(
    canary=st.sampled_from(CANARIES),
    way=st.lists(st.one_of(PLAIN, st.just([])), max_size=7),
    as_key=st.booleans(),
)
def test_a_canary_at_any_depth_does_not_survive(
    *, canary: str, way: list[Any], as_key: bool
) -> None:
    value: Any = {canary: 1} if as_key else canary
    for step in way:
        value = [value] if step == [] else {step: value}
    assert canary not in json.dumps(redact_data({"label": value}), ensure_ascii=False)


@given(st.sampled_from(SECRET_KEYS), JSON)
def test_a_canary_under_a_sensitive_key_does_not_survive(key: str, value: Any) -> None:
    text = json.dumps(redact_data({"a": {key: ["xyzzy", value]}}))
    assert text == json.dumps({"a": {key: REDACTED}})


@given(
    canary=st.sampled_from(CANARIES),
    template=st.sampled_from(TEMPLATES),
    times=st.integers(min_value=1, max_value=4),
    plus=st.booleans(),
)
def test_a_canary_in_a_url_does_not_survive(
    *, canary: str, template: str, times: int, plus: bool
) -> None:
    encoded = canary
    for _ in range(times):
        encoded = quote(encoded, safe="")
    if plus:
        encoded = encoded.replace("%20", "+")
    clean = redact_url(template.format(encoded))
    assert encoded not in clean
    assert "redacted" in clean


@given(
    st.dictionaries(PLAIN, st.recursive(SCALARS, lambda i: st.lists(i) | st.dictionaries(PLAIN, i)))
)
def test_numbers_and_structure_are_kept(data: dict[str, Any]) -> None:
    assert redact_data(data) == data


@given(st.dictionaries(PLAIN, JSON, max_size=4))
def test_the_shape_is_kept(data: dict[str, Any]) -> None:
    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return len(value)
        return len(value) if isinstance(value, list) else type(value)

    clean = redact_data(data)
    assert {key: shape(value) for key, value in clean.items()} == {
        key: shape(value) for key, value in data.items()
    }


@pytest.mark.parametrize("length", [36, 43, 64, 86])
@pytest.mark.parametrize(
    "alphabet",
    [string.ascii_letters + string.digits + "-_", string.ascii_lowercase + string.digits],
)
def test_a_random_token_does_not_survive(alphabet: str, length: int) -> None:
    dice = random.Random(length)  # the same tokens each time
    tokens = ["".join(dice.choices(alphabet, k=length)) for _ in range(500)]
    assert sum(token in redact_value(f"got {token}") for token in tokens) <= 5


# --- time -----------------------------------------------------------------------------------------

ADVERSARIAL = (
    "a",
    "a@",
    "a.",
    "@",
    "%40",
    "%",
    "%25",
    "1",
    "1 ",
    "0 1.",
    "+1 ",
    "06 12 ",
    "1.1.",
    "a=",
    "a=b;",
    "a: ",
    "name: ",
    "name=x ",
    "::",
    "f:",
    "eyJ",
    "eyJa.",
    "sk-",
    "FR76 ",
    "aB3",
    "/",
    "//",
    "?a=",
    "#",
    "//?#",
    "Bearer ",
    "basic ",
    "cookie ",
    "-----BEGIN ",
    "Mozilla/",
    "[at] ",
    '"',
    "(",
    "\u200b",
    "a1-",
    "4 ",
)


@pytest.mark.parametrize("redact", [redact_value, redact_url])
@pytest.mark.parametrize("piece", ADVERSARIAL)
def test_time_grows_with_length_only(redact: Callable[[str], str], piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        best = 10.0
        for _ in range(4):
            start = time.thread_time()
            redact(text)
            best = min(best, time.thread_time() - start)
        return best

    # Eight times the text: eight times the time if linear, sixty-four times if quadratic.
    assert seconds(16_384) < 24 * seconds(2_048) + 0.002


def _scan_with_every_pattern(text: str) -> str:
    """Do what `redact_text.scan` does, with every pattern whose absence it foresees."""
    text = redact_text.EMAIL.sub(REDACTED, text)
    text = redact_text.USER_AGENT.sub(REDACTED, text)
    if "=" in text or ":" in text:
        text = redact_text.COLONS.sub(redact_text._colons, text)
        text = redact_text.HARDWARE.sub(REDACTED, text)
        text = redact_text.HEADER.sub(redact_text._header, text)
        text = redact_text.COOKIES.sub(REDACTED, text)
        for pattern in redact_text.PAIRS.values():
            text = redact_text._scan_values(pattern, text)
    text = redact_text._scan_numbers(text)
    text = redact_text.CREDENTIALS.sub(REDACTED, text)
    text = redact_text.SHORT_TOKEN.sub(REDACTED, text)
    return redact_text.RUN.sub(redact_text._run, text)


_EVERY_FIND = (
    *("a@b.fr", "a%40b.fr", "a\uff20b.fr", "a&#64;b.fr", "a&commat;b.fr", "a\\u0040b.fr"),
    *("a (at) b.fr", "a[at]b.fr", "a{at}b.fr", "Mozilla/5.0 x", "::1", "1::2", "fe80::1:2"),
    *("00:1b:44:11:3a:b7", "mac=00-1b-44-11-3a-b7", "Cookie: x", "COOK\u0131E=x", "coo\u212aie: x"),
    *("Authorization: x, y", "author\u0130zation:x", "a=b; c=d", "email=x", "email: x", "sid=1"),
    *("06 12 34 56 78", "4111 1111 1111 1111", "192.168.0.1", "FR7630006000011234567890189"),
    *("bearer x", "BEARER:x", "Basic a1b2c3d4", "ba\u017fic a1b2c3d4", "DIGEST a1b2c3d4"),
    *("Negotiate a1b2c3d4", "-----BEGIN PRIVATE KEY-----x", "ya29.abcdefgh", "SG.abcdefgh"),
    *("ghp_abcdefghijkl", "eyJhbGciOiJIUzI1.eyJzdWIi", "sk_live_abcdef", "0123456789abcdef" * 2),
)
_FINDS = st.sampled_from(_EVERY_FIND)


@pytest.mark.parametrize("text", _EVERY_FIND)
def test_every_pattern_is_asked_when_it_finds_something(text: str) -> None:
    assert redact_text.scan(text) == _scan_with_every_pattern(text) != text


@given(st.lists(_FINDS | _SPECIAL, max_size=6).map("".join) | TEXTS)
def test_a_pattern_that_is_left_out_would_have_found_nothing(text: str) -> None:
    assert redact_text.scan(text) == _scan_with_every_pattern(text)


@given(st.lists(_FINDS | _SPECIAL, max_size=6).map("".join) | TEXTS)
def test_what_was_redacted_before_changes_nothing(text: str) -> None:
    redact._clean.clear()
    first = redact_value(text)
    assert redact_value(text) == first
    assert redact_value(first) == first
