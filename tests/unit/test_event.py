"""Events: what they count as, and what of them is published."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from zoneinfo import ZoneInfo

import pytest

from maicivy.ingest.event import (
    Fields,
    check_fields,
    make_event,
    page_view,
    path_of,
    referer_of,
    viewed_theme,
)
from maicivy.ingest.visitor import Visitor

NOW = dt.datetime(2025, 12, 8, 12, 34, 56, 789_000, tzinfo=dt.UTC)
WHO = Visitor(uuid.UUID(int=1), uuid.UUID(int=2), "0" * 64, "Chrome", "Linux", "desktop", "fr")


@pytest.mark.parametrize(
    ("fields", "theme"),
    [
        (Fields("cv_theme_change", {"theme": "backend"}), "backend"),
        (Fields("cv_theme_change", {"theme": "BackEnd"}), "backend"),
        (Fields("cv_theme_change", None, "/x?theme=devops"), "devops"),
        (Fields("cv_theme_change", {"theme": "a"}, "/x?theme=b"), "a"),
        (Fields("cv_theme_change", {"theme": "-a"}), None),
        (Fields("cv_theme_change", {"theme": "a" * 51}), None),
        (Fields("cv_theme_change", {"theme": "a" * 50}), "a" * 50),
        (Fields("cv_theme_change", {"theme": ["a"]}), None),
        (Fields("cv_theme_change"), None),
        (Fields("page_view", None, "/cv?theme=a&theme=b"), "a"),
        (Fields("page_view", None, "/cv/print?theme=a"), "a"),
        (Fields("page_view", {"theme": "a"}, "/cv"), "a"),
        (Fields("page_view", None, "https://other.example/cv?theme=a"), "a"),
        (Fields("page_view", None, "/cvx?theme=a"), None),
        (Fields("page_view", {"theme": "a"}, "/letters"), None),
        (Fields("page_view", {"theme": "a"}), None),
        (Fields("button_click", {"theme": "a"}, "/cv?theme=a"), None),
        (Fields("page_view", None, "/cv?theme=" + "%41" * 3), "aaa"),
        (Fields("page_view", None, "http://[broken/cv?theme=a"), None),
    ],
)
def test_the_theme_an_event_is_a_view_of(fields: Fields, theme: str | None) -> None:
    assert viewed_theme(fields) == theme


def test_an_automatic_page_view() -> None:
    view = page_view("/cv?theme=backend&token=s3cret", "https://a.example/")
    assert view == Fields(
        "page_view",
        {"path": "/cv", "theme": "backend"},
        "/cv?theme=backend&token=redacted",
        "https://a.example/",
    )
    assert page_view("/letters", None) == Fields("page_view", {"path": "/letters"}, "/letters")
    assert len(page_view("/" + "x" * 2000, None).page_url or "") == 500


def test_the_published_message() -> None:
    fields = Fields("page_view", {"path": "/é", "theme": "a"}, '/é?q="x"')
    message = json.loads(make_event(fields, WHO, NOW, ZoneInfo("UTC")).message())
    assert message == {
        "type": "page_view",
        "visitor_id": str(WHO.public_id),
        "timestamp": "2025-12-08T12:34:56Z",
        "page_url": '/é?q="x"',
        "data": {"path": "/é", "theme": "a"},
    }
    bare = json.loads(make_event(Fields("x"), WHO, NOW, ZoneInfo("UTC")).message())
    assert (bare["page_url"], bare["data"]) == ("", {})


@pytest.mark.parametrize(
    ("header", "stored"),
    [
        (None, None),
        ("", None),
        ("https://a.example/x?q=1", "https://a.example/x?q=1"),
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
        fields = check_fields({"event_type": "letter_generated", "event_data": data}, frozenset())
        assert (fields.event_type, fields.letter_type) == ("letter_generate", "motivation")


def test_paths() -> None:
    assert path_of("/cv?x#y") == "/cv"
    assert path_of("https://a.example/cv#y") == "/cv"
    assert path_of("http://[broken/cv?x") == "http://[broken/cv"
