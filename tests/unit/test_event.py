"""Events: what they count as, and what of them is published."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from maicivy.config import QUERY_PARAMETERS
from maicivy.ingest.event import (
    Fields,
    check_fields,
    make_event,
    page_view,
    path_of,
    referer_of,
    viewed_theme,
)
from maicivy.ingest.urls import QueryParameters
from maicivy.ingest.visitor import Visitor
from maicivy.periods import Moment

KEPT = QueryParameters.of(QUERY_PARAMETERS)
NOW = Moment.of(dt.datetime(2025, 12, 8, 12, 34, 56, 789_012, tzinfo=dt.UTC), ZoneInfo("UTC"))
WHO = Visitor(
    str(uuid.UUID(int=1)), str(uuid.UUID(int=2)), "0" * 64, "Chrome", "Linux", "desktop", "fr"
)


@pytest.mark.parametrize(
    ("event_type", "data", "url", "theme"),
    [
        ("cv_theme_change", {"theme": "backend"}, None, "backend"),
        ("cv_theme_change", {"theme": "BackEnd"}, None, "backend"),
        ("cv_theme_change", None, "/x?theme=devops", "devops"),
        ("cv_theme_change", {"theme": "a"}, "/x?theme=b", "a"),
        ("cv_theme_change", {"theme": "-a"}, None, None),
        ("cv_theme_change", {"theme": "a" * 51}, None, None),
        ("cv_theme_change", {"theme": "a" * 50}, None, "a" * 50),
        ("cv_theme_change", {"theme": ["a"]}, None, None),
        ("cv_theme_change", None, None, None),
        ("cv_theme_change", None, "/x?theme=0612345678", None),
        ("cv_theme_change", None, "/x?theme=%30612345678", None),
        ("page_view", None, "/cv?theme=a&theme=b", "a"),
        ("page_view", None, "/cv/print?theme=a", "a"),
        ("page_view", {"theme": "a"}, "/cv", "a"),
        ("page_view", None, "https://other.example/cv?theme=a", "a"),
        ("page_view", None, "/cvx?theme=a", None),
        ("page_view", {"theme": "a"}, "/letters", None),
        ("page_view", {"theme": "a"}, None, None),
        ("button_click", {"theme": "a"}, "/cv?theme=a", None),
        ("page_view", None, "/cv?theme=" + "%41" * 3, "aaa"),
        ("page_view", None, "http://[broken/cv?theme=a", None),
    ],
)
def test_the_theme_an_event_is_a_view_of(
    event_type: str, data: dict[str, Any] | None, url: str | None, theme: str | None
) -> None:
    assert viewed_theme(event_type, data, url) == theme


def test_an_automatic_page_view() -> None:
    view = page_view("/cv?theme=backend&token=s3cret", KEPT, referer="https://a.example/")
    assert view == Fields(
        "page_view",
        {"path": "/cv", "theme": "backend"},
        "/cv?theme=backend",
        "https://a.example/",
        theme="backend",
    )
    assert page_view("/letters", KEPT) == Fields("page_view", {"path": "/letters"}, "/letters")
    assert len(page_view("/" + "x" * 2000, KEPT).page_url or "") == 500


def test_a_theme_that_is_not_kept_is_ranked_all_the_same() -> None:
    """Which theme was looked at is a total; that it does not stay in the URL changes no total."""
    view = page_view("/cv?theme=backend&lang=fr", QueryParameters.of(["lang"]))
    assert view == Fields("page_view", {"path": "/cv"}, "/cv?lang=fr", theme="backend")
    body = {"event_type": "page_view", "page_url": "/cv?theme=backend"}
    sent = check_fields(body, QueryParameters.of([]))
    assert sent == Fields("page_view", page_url="/cv", theme="backend")
    assert make_event(sent, WHO, NOW).theme == "backend"


def test_what_stays_is_redacted() -> None:
    body = {
        "event_type": "x",
        "page_url": "https://me.example/a@b.example?ref=a@b.example&utm_email=x&lang=fr",
        "referrer": "https://a@b.example/c@d.example?q=1",
    }
    fields = check_fields(body, KEPT, frozenset({"me.example"}))
    assert fields.page_url == "/redacted?ref=redacted&utm_email=redacted&lang=fr"
    assert fields.referrer == "https://b.example/redacted"


def test_the_published_message() -> None:
    fields = Fields("page_view", {"path": "/é", "theme": "a"}, '/é?q="x"')
    message = json.loads(make_event(fields, WHO, NOW).message())
    assert message == {
        "type": "page_view",
        "visitor_id": str(WHO.public_id),
        "timestamp": "2025-12-08T12:34:56Z",
        "page_url": '/é?q="x"',
        "data": {"path": "/é", "theme": "a"},
    }
    bare = json.loads(make_event(Fields("x"), WHO, NOW).message())
    assert (bare["page_url"], bare["data"]) == ("", {})


@pytest.mark.parametrize(
    ("header", "stored"),
    [
        (None, None),
        ("", None),
        ("https://a.example/x?q=1#y", "https://a.example/x"),
        ("https://a.example?q=1", "https://a.example"),
        ("android-app://com.example/", "android-app://com.example/"),
        ("javascript:alert(1)", None),
        ("https://a.example/\x01", None),
        ("https://a.example/" + "x" * 500, None),
    ],
)
def test_the_referer_header(header: str | None, stored: str | None) -> None:
    assert referer_of(header) == stored


def test_the_letter_type_may_be_called_type() -> None:
    for data in ({"letter_type": "motivation"}, {"type": "motivation"}):
        fields = check_fields({"event_type": "letter_generated", "event_data": data}, KEPT)
        assert (fields.event_type, fields.letter_type) == ("letter_generate", "motivation")


def test_paths() -> None:
    assert path_of("/cv?x#y") == "/cv"
    assert path_of("https://a.example/cv#y") == "/cv"
    assert path_of("http://[broken/cv?x") == "http://[broken/cv"


def test_a_referrer_of_this_site_is_a_path() -> None:
    own = frozenset({"cv.example"})
    view = page_view("/cv", KEPT, own, "https://cv.example/letters?x=1")
    assert view.referrer == "/letters"
    body = {"event_type": "click", "referrer": "https://CV.example"}
    assert check_fields(body, KEPT, own).referrer == "/"
    assert check_fields({"event_type": "click"}, KEPT, own, "https://a.example/b").referrer == (
        "https://a.example/b"
    )
