"""How personal data is taken out of a URL while every other byte of it stays as it was.

A URL is cut at its own marks ("/", "?", "&", "=", "#") and each part is judged alone, as it stands
and percent-decoded as often as it was encoded; a part that holds something becomes "redacted".
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from maicivy.ingest.redact_keys import is_sensitive_parameter
from maicivy.ingest.redact_text import URL_REDACTED, scan

# Nobody encodes a part this often, except to hide something in it.
MAX_DECODINGS = 5
MAX_NESTING = 2

_PARTS = re.compile(r"([^?#]*)(\??)([^#]*)(#?)(.*)", re.DOTALL)
_AUTHORITY = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.\-]*:)?[/\\]{2})([^/\\]*)(.*)", re.DOTALL)
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(.*)", re.DOTALL)
_BETWEEN_PAIRS = re.compile(r"([&;])")
_BETWEEN_SEGMENTS = re.compile(r"([/\\])")
_LOOPBACK = re.compile(r"127(?:\.\d{1,3}){3}|0\.0\.0\.0|\[::1?\]")
# Without any of these there is nothing in a part that `scan` could find.
_SUSPECT = re.compile(r"[^a-z_\-]|.{12}", re.DOTALL)


def clean_url(url: str, nesting: int = 0) -> str:
    """Take out, in one pass, what a URL must not hold; the caller repeats it until it holds."""
    found = _PARTS.fullmatch(url)
    if found is None:  # pragma: no cover - the pattern takes any string
        return URL_REDACTED
    head, question, query, sharp, fragment = found.groups()
    clean = _head(head, nesting) + question + _pairs(query, nesting) + sharp
    if not fragment:
        return clean
    if nesting >= MAX_NESTING:
        return clean + _part(fragment, nesting)
    return clean + clean_url(fragment, nesting + 1)


def is_dirty(text: str, nesting: int = 0) -> bool:
    """Whether a part of a URL holds something, as it stands or under its percent-encoding."""
    if "+" in text and _is_dirty(text.replace("+", " "), nesting):
        return True
    return _is_dirty(text, nesting)


def _is_dirty(text: str, nesting: int) -> bool:
    for _ in range(MAX_DECODINGS):
        if _holds_something(text, nesting):
            return True
        decoded = unquote(text)
        if decoded == text:
            return False
        text = decoded
    return True


def _holds_something(text: str, nesting: int) -> bool:
    if scan(text) != text:
        return True
    if nesting >= MAX_NESTING or not ("=" in text or "//" in text):
        return False
    return clean_url(text, nesting + 1) != text


def _head(head: str, nesting: int) -> str:
    found = _AUTHORITY.fullmatch(head)
    if found is None:
        return _path(head, nesting)
    before, authority, path = found.groups()
    return before + _authority(authority, nesting) + _path(path, nesting)


def _authority(authority: str, nesting: int) -> str:
    """Drop the user's name and password; an address of this very machine is nobody's."""
    found = _HOST.fullmatch(authority.rpartition("@")[2])
    if found is None or _LOOPBACK.fullmatch(found[1]):
        return authority.rpartition("@")[2]
    return _part(found[1], nesting) + _part(found[2], nesting)


def _path(path: str, nesting: int) -> str:
    pieces = _BETWEEN_SEGMENTS.split(path)
    return "".join(_pairs(piece, nesting) for piece in pieces)


def _pairs(text: str, nesting: int) -> str:
    if not text or text in "/\\":
        return text
    return "".join(_pair(piece, nesting) for piece in _BETWEEN_PAIRS.split(text))


def _pair(pair: str, nesting: int) -> str:
    key, equals, value = pair.partition("=")
    if value and is_sensitive_parameter(_decode(key)):
        value = URL_REDACTED
    return _part(key, nesting) + equals + _part(value, nesting)


def _part(text: str, nesting: int) -> str:
    if not _SUSPECT.search(text):
        return text
    return URL_REDACTED if is_dirty(text, nesting) else text


def _decode(text: str) -> str:
    for _ in range(MAX_DECODINGS):
        decoded = unquote(text)
        if decoded == text:
            break
        text = decoded
    return text
