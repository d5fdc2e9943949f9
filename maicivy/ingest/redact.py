"""Nothing that names a person or opens a door is kept: the last step before an event is stored.

What a key, a text and a URL may hold is decided in `redact_keys`, `redact_text` and `redact_urls`;
here it is applied, again and again until there is nothing left to take out. So redacting twice is
redacting once.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from maicivy.ingest.redact_keys import is_sensitive_key
from maicivy.ingest.redact_text import REDACTED, URL_REDACTED, scan
from maicivy.ingest.redact_urls import clean_url, is_dirty

__all__ = ["REDACTED", "redact_data", "redact_url", "redact_value"]

# Deeper event data is refused before it comes here; should it come, it goes.
MAX_DEPTH = 16
# One pass is nearly always enough; what still changes after so many was made to.
MAX_PASSES = 6
MAX_REMEMBERED_LENGTH = 200
MAX_REMEMBERED = 4096

# Short words and numbers, in which nothing can be found: most values are that.
_HARMLESS = re.compile(
    r"(?!.*bearer)[^\W\d]{0,11}(?:[ ,'-]{1,2}[^\W\d]{1,11}){0,15}|\d{1,6}", re.IGNORECASE
)
_URLS = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.\-]{1,20}:)?//[^\s\"'<>]+"
    r"|(?<![^\s\"'<>])[^\s\"'<>?#=]*[?#][^\s\"'<>=]{1,256}=[^\s\"'<>]+"
)
_CHUNK = re.compile(r"[^\s\"'<>]+")
_clean: set[str] = set()
# The sisters of a "value" that say what it is the value of.
_LABELS = frozenset({"name", "key", "field", "type", "label", "id"})
_VALUES = ("value", "val", "content")


def redact_value(value: str) -> str:
    """Return a text without the personal data and secrets in it."""
    if value in _clean or _HARMLESS.fullmatch(value):
        return value
    for _ in range(MAX_PASSES):
        if value in _clean:
            return value
        clean = _pass(value)
        if clean == value:
            return _remember(value)
        value = clean
    return REDACTED


def _remember(value: str) -> str:
    """Remember a text in which there was nothing to take out: a page has the same ones all day."""
    if len(value) <= MAX_REMEMBERED_LENGTH:
        if len(_clean) >= MAX_REMEMBERED:
            _clean.clear()
        _clean.add(value)
    return value


def redact_url(url: str) -> str:
    """Return a URL, absolute or relative, without them; all the rest byte for byte."""
    for _ in range(MAX_PASSES):
        clean = clean_url(url)
        if clean == url:
            return url
        url = clean
    return URL_REDACTED


def redact_data(data: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object, of any depth the checker allows, without them in keys and values."""
    return _object(data, 1)


def _pass(text: str) -> str:
    if "//" in text or ("=" in text and ("?" in text or "#" in text)):
        text = _URLS.sub(lambda found: clean_url(found[0]), text)
    if "%" in text:
        text = _CHUNK.sub(_encoded, text)
    return scan(text)


def _encoded(found: re.Match[str]) -> str:
    chunk = found[0]
    return REDACTED if "%" in chunk and is_dirty(chunk) and scan(chunk) == chunk else chunk


def _object(data: dict[str, Any], depth: int) -> dict[str, Any]:
    clean: dict[str, Any] = {}
    told = not _LABELS.isdisjoint(data) and _is_told(data)
    for key, value in data.items():
        name, hidden = _key(key) if len(key) <= MAX_REMEMBERED_LENGTH else _clean_key(key)
        if name in clean:
            name = _free(name, clean)
        if hidden or (told and key in _VALUES):
            clean[name] = REDACTED
        else:
            clean[name] = value if type(value) is int else _any(value, depth)
    return clean


def _is_told(data: dict[str, Any]) -> bool:
    """Say whether one of an object's members says that another one is sensitive."""
    return any(isinstance(data.get(k), str) and is_sensitive_key(data[k]) for k in _LABELS)


def _clean_key(key: str) -> tuple[str, bool]:
    """Return a key without what it must not hold, and whether its value must not be kept."""
    name = redact_value(key)
    return name, is_sensitive_key(key) or is_sensitive_key(name)


_key = lru_cache(maxsize=4096)(_clean_key)


def _any(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return redact_value(value)
    if not isinstance(value, dict | list):
        return value
    if depth >= MAX_DEPTH:
        return REDACTED
    if isinstance(value, dict):
        return _object(value, depth + 1)
    return [_any(item, depth + 1) for item in value]


def _free(name: str, taken: dict[str, Any]) -> str:
    """Two keys that were redacted to the same text stay two keys."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name} {number}", number + 1
    return free
