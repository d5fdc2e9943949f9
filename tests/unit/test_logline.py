"""Lines of combined logs as nginx and Apache write them, escapes, hosts, times, and nonsense."""

from __future__ import annotations

import datetime as dt

import pytest

from maicivy.history.logline import decode, is_whole, read_line, target_of, unescape

WHEN = "10/Nov/2026:13:55:36 +0100"
AGENT = "Mozilla/5.0 (X11; Linux x86_64)"


def line(
    who: str = "203.0.113.7 - -", *, when: str = WHEN, request: str = "GET /cv HTTP/1.1",
    status: str = "200", agent: str = AGENT,
) -> str:  # fmt: skip
    return f'{who} [{when}] "{request}" {status} 2326 "-" "{agent}"'


@pytest.mark.parametrize(
    ("who", "host", "client"),
    [
        ("203.0.113.7 - -", "", "203.0.113.7"),
        ("2001:db8::c0de - -", "", "2001:db8::c0de"),
        ("203.0.113.7 - frank", "", "203.0.113.7"),
        ("203.0.113.7 - Frank N. Stein", "", "203.0.113.7"),
        ("dsl-7.isp.example - -", "", "dsl-7.isp.example"),
        ("example.org:443 203.0.113.7 - -", "example.org:443", "203.0.113.7"),
        ("example.org 2001:db8::c0de - frank", "example.org", "2001:db8::c0de"),
        ("example.org:80 dsl-7.isp.example - -", "example.org:80", "dsl-7.isp.example"),
        ("example.org:80 203.0.113.7 ident frank", "example.org:80", "203.0.113.7"),
        ("203.0.113.7 ident frank", "", "203.0.113.7"),
    ],
)
def test_who_asked_whom(who: str, host: str, client: str) -> None:
    read = read_line(line(who))
    assert read is not None
    assert (read.host, read.client) == (host, client)


@pytest.mark.parametrize(
    ("when", "utc"),
    [
        ("10/Nov/2026:13:55:36 +0100", "2026-11-10T12:55:36"),
        ("10/nov/2026:00:00:00 -0330", "2026-11-10T03:30:00"),
        ("01/Jan/2026:00:30:00 +0200", "2025-12-31T22:30:00"),
        ("29/Feb/2024:23:59:59 +0000", "2024-02-29T23:59:59"),
        # both of the hours that come twice
        ("25/Oct/2026:02:30:00 +0200", "2026-10-25T00:30:00"),
        ("25/Oct/2026:02:30:00 +0100", "2026-10-25T01:30:00"),
        ("31/Dec/2016:23:59:60 +0000", "2016-12-31T23:59:59"),
    ],
)
def test_times_have_their_own_offset(when: str, utc: str) -> None:
    read = read_line(line(when=when))
    assert read is not None
    assert dt.datetime.fromtimestamp(read.seconds, dt.UTC).isoformat() == f"{utc}+00:00"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "nonsense",
        "\x16\x03\x01\x02\x00" * 50,
        line(who="203.0.113.7"),
        line(when="10/Nov/2026:24:00:00 +0100"),
        line(when="10/Nov/2026:23:60:00 +0100"),
        line(when="10/Nov/2026:23:59:61 +0100"),
        line(when="31/Feb/2026:13:55:36 +0100"),
        line(when="10/Abc/2026:13:55:36 +0100"),
        line(when="10/Nov/0000:13:55:36 +0100"),
        line(when="2026-11-10T13:55:36+01:00"),
        line(status="abc"),
        line()[:-1],
        line(agent="torn \\"),
        '203.0.113.7 - - [10/Nov/2026:13:55:36 +0100] "GET / HTTP/1.1" 200 5',
        "x" * 5000 + line(),
    ],
)
def test_what_is_no_line_is_none(bad: str) -> None:
    assert read_line(bad) is None
    assert not is_whole(bad)


def test_what_follows_does_not_matter() -> None:
    more = line() + ' "203.0.113.9" 0.004 -\r'
    assert read_line(more) == read_line(line())
    assert is_whole(line())
    assert not is_whole(more)


def test_quotes_and_escapes_of_both_servers() -> None:
    apache = read_line(line(request=r"GET /a\"b HTTP/1.1", agent=r"say \"hi\" \\ \t\xe9"))
    nginx = read_line(line(request=r"GET /a\x22b HTTP/1.1", agent=r"say \x22hi\x22 \x5C \x09\xE9"))
    assert apache is not None
    assert nginx is not None
    assert unescape(apache.user_agent) == unescape(nginx.user_agent) == 'say "hi" \\ \t\xe9'
    assert target_of(apache.request) == target_of(nginx.request) == "/a%22b"


def test_letters_are_decoded_after_the_escapes() -> None:
    assert decode(r"caf\xC3\xA9") == "café"
    assert decode("café".encode().decode("latin-1")) == "café"
    assert decode(r"\xE9") == "\udce9"
    assert decode(r"\u0022") == '"'


@pytest.mark.parametrize(
    ("request_line", "target"),
    [
        ("GET / HTTP/1.1", "/"),
        ("GET /cv?theme=backend HTTP/2.0", "/cv?theme=backend"),
        ("GET /cv#top HTTP/1.1", "/cv"),
        (r"GET /caf\xC3\xA9 HTTP/1.1", "/caf%C3%A9"),
        ("GET /a b HTTP/1.1", "/a%20b"),
        ("GET /%7Eme/ HTTP/1.0", "/%7Eme/"),
        ("GET http://example.org/cv HTTP/1.1", "/cv"),
        ("GET https://example.org HTTP/1.1", "/"),
        ("GET https://example.org?a=1 HTTP/1.1", "/?a=1"),
        ("POST / HTTP/1.1", None),
        ("HEAD / HTTP/1.1", None),
        ("GET /cv", None),
        ("GET * HTTP/1.1", None),
        (r"\x16\x03\x01", None),
        ("-", None),
        ("", None),
    ],
)
def test_targets(request_line: str, target: str | None) -> None:
    assert target_of(request_line) == target
