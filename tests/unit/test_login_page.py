"""What the login page says, in which language, and where it may lead."""

from __future__ import annotations

import pytest

from maicivy.web.access import HOME, local_path, login_address
from maicivy.web.login_page import _TEXTS, language_of, login_page


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("fr", "fr"),
        ("fr-CA", "fr"),
        ("FR-fr,en;q=0.5", "fr"),
        ("en,fr", "en"),
        ("en-GB;q=0.3, fr;q=0.4", "fr"),
        ("de, fr;q=0.1", "fr"),
        ("de", "en"),
        ("fr;q=0", "en"),
        ("fr;q=2", "en"),
        ("fr;q=x,*", "en"),
        ("frr", "en"),
        ("," * 10_000 + "fr", "en"),
    ],
)
def test_the_language_that_is_liked_better(accepted: str, language: str) -> None:
    assert language_of(accepted) == language


def test_both_languages_say_the_same_things() -> None:
    assert _TEXTS["en"].keys() == _TEXTS["fr"].keys()
    for problem in ("wrong", "many", "busy"):
        for language in _TEXTS:
            page = login_page(language, "/$x", problem)
            assert 'role="alert"' in page
            assert 'value="/$x"' in page
            assert ('aria-invalid="true"' in page) is (problem == "wrong")


@pytest.mark.parametrize("path", ["/", "/a", "/a?b=c&d=%2F/", "/dashboard?period=week#x", "/a//b"])
def test_a_path_of_ours_is_kept(path: str) -> None:
    assert local_path(path) == path


def test_what_no_path_can_be_led_back_to_is_not_written_down() -> None:
    assert login_address("//evil.example") == "/login"
    assert login_address("/a?b") == "/login?next=/a%3Fb"
    assert local_path(None) == HOME
