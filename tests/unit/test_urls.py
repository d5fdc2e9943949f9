"""Which parameters a page URL keeps, and that a referrer keeps none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maicivy.config import QUERY_PARAMETERS
from maicivy.ingest.urls import QueryParameters, without_query

if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT = QueryParameters.of(QUERY_PARAMETERS)
NONE = QueryParameters.of(())
ALL = QueryParameters.of(("*",))

PAGES: list[tuple[str, str]] = [
    ("/cv", "/cv"),
    ("", ""),
    ("/cv?theme=backend", "/cv?theme=backend"),
    ("/cv?theme=backend&fbclid=x", "/cv?theme=backend"),
    ("/cv?fbclid=x&theme=backend", "/cv?theme=backend"),
    ("/cv?fbclid=x", "/cv"),
    ("/cv?", "/cv"),
    ("/cv?&&", "/cv"),
    ("/cv?lang=fr&theme=a&lang=en", "/cv?lang=fr&theme=a&lang=en"),
    ("/cv?theme=a&x=1&ref=b&y=2&lang=fr", "/cv?theme=a&ref=b&lang=fr"),
    ("/cv?theme", "/cv?theme"),
    ("/cv?theme=", "/cv?theme="),
    ("/cv?themes=a&them=b&theme.x=c", "/cv"),
    # names are decoded once, and compared in lower case; their spelling stays
    ("/cv?Th%65me=A%20b&UTM_Source=X", "/cv?Th%65me=A%20b&UTM_Source=X"),
    ("/cv?th%2565me=a", "/cv"),
    ("/cv?theme%00=a&%00theme=b&theme+=c&+theme=d", "/cv"),
    ("/cv?theme%26fbclid=x&theme%3Dfbclid=x&theme%ff=x", "/cv"),
    # a prefix is the beginning of a plain name, not of anything
    ("/cv?utm_source=a&utm_=b&utm=c&xutm_source=d", "/cv?utm_source=a&utm_=b"),
    ("/cv?utm_a%26fbclid%3Dx&utm_a%3Dx%26b=y&utm_%C3%A9=z", "/cv?utm_%C3%A9=z"),
    ("/cv?utm_a@b.example=1&utm_a/b=1&utm_a%2540=1", "/cv"),
    # ";" parts parameters too
    ("/cv?theme=a;fbclid=x", "/cv?theme=a"),
    ("/cv?fbclid=x;theme=a", "/cv?theme=a"),
    ("/cv?theme=a;lang=fr;x", "/cv?theme=a;lang=fr"),
    ("/cv?theme=a&x;lang=fr", "/cv?theme=a;lang=fr"),
    # a value that holds parameters is held to the list
    ("/cv?theme=a?fbclid=x", "/cv"),
    ("/cv??fbclid=x", "/cv"),
    ("/cv?theme=a%26fbclid%3Dx", "/cv"),
    ("/cv?theme=a%2526fbclid%253Dx", "/cv"),
    ("/cv?theme=a%3Bfbclid=x", "/cv"),
    ("/cv?theme=%" + "25" * 9 + "41", "/cv"),
    ("/cv?ref=https%3A%2F%2Fa.example%2F%3Fid%3D7", "/cv"),
    ("/cv?ref=%2F%2Fa.example%2F%3Flang%3Dfr", "/cv?ref=%2F%2Fa.example%2F%3Flang%3Dfr"),
    ("/cv?utm_campaign=spring%26summer&ref=a=b", "/cv?utm_campaign=spring%26summer&ref=a=b"),
    # parameters in a path
    ("/cv;jsessionid=x/y;a=1;b?theme=a", "/cv/y?theme=a"),
    ("/cv&fbclid=x", "/cv"),
    ("/cv%3Ffbclid=x/y", "/cv/y"),
    ("/cv%253ffbclid%253Dx", "/cv"),
    ("/cv%23a%3Db", "/cv"),
    ("/faq/why%3F/r&d/a;b/c=d", "/faq/why%3F/r&d/a;b/c=d"),
    # of a fragment, a hash route
    ("/cv#top", "/cv"),
    ("/cv?theme=a#access_token=x", "/cv?theme=a"),
    ("/cv#?theme=a", "/cv"),
    ("/cv#/", "/cv#/"),
    ("/#/a/b?theme=a&id=7", "/#/a/b?theme=a"),
    ("/#!/a?id=7", "/#!/a"),
    ("/#/a?theme=b#/c?id=7", "/#/a?theme=b"),
    ("/#/a#id=7", "/#/a"),
    ("/#/a&access_token=x", "/#/a"),
    ("/#%2Fa", "/"),
    ("/#!a", "/"),
    ("/#//user:pw@host/?id=7", "/#//user:pw@host/"),
    # whole URLs
    ("https://a.example?x=1", "https://a.example"),
    ("https://a.example:8443/cv?theme=a&x=1#y", "https://a.example:8443/cv?theme=a"),
    ("https://user:p;w=1@a.example/cv", "https://a.example/cv"),
    ("  https://user:pw@a.example", "  https://a.example"),
    ("http://[broken?x", "http://[broken"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "kept"), PAGES)
def test_what_is_kept_of_a_page(url: str, kept: str) -> None:
    assert KEPT.clean(url) == kept
    assert KEPT.clean(kept) == kept


def test_an_empty_list_keeps_nothing() -> None:
    assert NONE.clean("/cv?theme=a&utm_source=b#/c?lang=fr") == "/cv#/c"


def test_a_star_alone_keeps_every_parameter() -> None:
    query = "theme=a;b&%00=%26x%3D1&utm_a@b=?c=d&&"
    assert ALL.clean(f"/cv;a=b?{query}#/c?{query}") == (
        "/cv;a=b?theme=a;b&%00=%26x%3D1&utm_a@b=?c=d#/c?theme=a;b&%00=%26x%3D1&utm_a@b=?c=d"
    )
    assert ALL.clean("/cv?a=1#top") == "/cv?a=1"
    assert ALL.clean("/cv?a=%" + "25" * 9) == "/cv?a=%" + "25" * 9


def test_a_list_of_ones_own() -> None:
    mine = QueryParameters.of(("Q", "filter[*", "é"))
    assert mine.clean("/?q=1&filter[a]=2&filter%5Bb%5D=3&%C3%89=4&theme=5") == (
        "/?q=1&filter[a]=2&filter%5Bb%5D=3&%C3%89=4"
    )


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://a.example", "https://a.example"),
        ("https://a.example/?theme=a#/b", "https://a.example/"),
        ("https://a.example:8443/b/c.html?q=d", "https://a.example:8443/b/c.html"),
        ("https://user:pw@a.example/b#c", "https://a.example/b"),
        ("https://a@b@c.example", "https://c.example"),
        ("HTTPS://u@[2001:db8::1]:8443/b?c", "HTTPS://[2001:db8::1]:8443/b"),
        ("  https://user:pw@a.example/b", "  https://a.example/b"),
        ("https://a.example/b;jsessionid=c/d%3Fe=f", "https://a.example/b/d"),
        ("android-app://com.example.app/https/b?c=d", "android-app://com.example.app/https/b"),
        ("/b?c#/d", "/b"),
    ],
)
def test_what_is_kept_of_a_referrer(url: str, kept: str) -> None:
    assert without_query(url) == kept
    assert without_query(kept) == kept


ODD = st.lists(
    st.sampled_from(
        ["theme", "x", "=", "&", ";", "?", "#", "/", "%", "%26", "%3D", "%3B", "%2523", "utm_", "!"]
    )
).map("".join)


@given(st.one_of(ODD, st.text()))
def test_cleaning_twice_is_cleaning_once_and_adds_nothing(url: str) -> None:
    for parameters in (KEPT, NONE, ALL):
        clean = parameters.clean(url)
        assert parameters.clean(clean) == clean
        assert is_within(clean, url)
    assert without_query(without_query(url)) == without_query(url)
    assert not {"?", "#"} & set(without_query(url))


def is_within(part: Iterable[str], whole: str) -> bool:
    """Say whether `part` is `whole` with characters left out."""
    rest = iter(whole)
    return all(char in rest for char in part)
