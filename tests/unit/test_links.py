"""What a click on a link was."""

from __future__ import annotations

from typing import Any

import pytest

from maicivy.ingest.event import check_fields
from maicivy.ingest.links import name_click
from maicivy.ingest.urls import QueryParameters

PAGE = "https://www.example.org/cv?theme=x"
AT = {"x": 450, "y": 200, "width": 1280}
OWN = frozenset({"www.example.org", "stats.example.org"})
NONE = QueryParameters.of(())


def outbound(href: str) -> tuple[str, dict[str, Any]]:
    return "link_click", AT | {"href": href, "kind": "outbound"}


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("https://other.org/a?q=1#z", outbound("https://other.org/a")),
        ("http://www.example.org:81/", outbound("http://www.example.org:81/")),
        ("https://me:secret@other.org/a", outbound("https://other.org/a")),
        ("https://WWW.example.org/b", ("click", AT)),
        ("https://www.example.org/b.html", ("click", AT)),
        ("https://www.example.org/v1.2", ("click", AT)),
        ("https://www.example.org/pdf", ("click", AT)),
        ("https://www.example.org/cv.pdf?v=2", ("pdf_download",
         AT | {"href": "https://www.example.org/cv.pdf"})),
        ("https://other.org/A.PDF", ("pdf_download", AT | {"href": "https://other.org/A.PDF"})),
        ("https://other.org/a.tar.gz", ("file_download",
         AT | {"href": "https://other.org/a.tar.gz"})),
        ("mailto:someone@example.org", ("click", AT)),
        ("tel:+123", ("click", AT)),
        ("javascript:void(0)", ("click", AT)),
        ("blob:https://www.example.org/1", ("click", AT)),
        ("https://[", ("click", AT)),
        ("", ("click", AT)),
        (None, ("click", AT)),
        ({}, ("click", AT)),
    ],
)  # fmt: skip
def test_where_it_leads(href: Any, expected: tuple[str, dict[str, Any]]) -> None:
    assert name_click(AT | {"href": href}, PAGE, frozenset()) == expected


def test_a_page_without_a_host_is_one_of_the_own_ones() -> None:
    for page in ("/cv", None):
        assert name_click({"href": "https://stats.example.org/"}, page, OWN) == ("click", {})
        assert name_click({"href": "https://other.org/"}, page, OWN)[0] == "link_click"
    # of two own sites one leads out of the other
    assert name_click({"href": "https://stats.example.org/"}, PAGE, OWN)[0] == "link_click"


def test_what_the_keyboard_clicks_has_no_place() -> None:
    data = {"x": 0, "y": 0, "width": 9, "href": "https://other.org/"}
    assert name_click(data, PAGE, OWN)[1].keys() == {"width", "href", "kind"}
    assert name_click(data | {"y": 1}, PAGE, OWN)[1]["x"] == 0


def test_events_are_named_as_they_are_checked() -> None:
    def check(event_type: str, **data: Any) -> tuple[str, Any]:
        body = {"event_type": event_type, "event_data": data or None, "page_url": PAGE}
        fields = check_fields(body, NONE)
        return fields.event_type, fields.data

    address = "https://other.org/someone@example.org/a.pdf?token=1"
    kind, data = check("click", href=address)
    assert kind == "pdf_download"
    assert "someone" not in data["href"]
    assert "token" not in data["href"]
    assert check("click", x=1, y=2) == ("click", {"x": 1, "y": 2})
    assert check("click") == ("click", None)
    assert check("link_click", href="/a")[1] == {"href": "/a"}
    assert check("page_load")[0] == "page_view"


def test_an_empty_referrer_says_that_there_is_none() -> None:
    def referrer(**body: Any) -> str | None:
        return check_fields({"event_type": "x", **body}, NONE, referer="https://a.org/b").referrer

    assert referrer() == referrer(referrer=None) == "https://a.org/b"
    assert referrer(referrer="") is None
    assert referrer(referrer="https://c.org/d?e") == "https://c.org/d"
