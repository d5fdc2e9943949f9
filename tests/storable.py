"""What may leave the parser: values that PostgreSQL's jsonb and text take as they are."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from maicivy.errors import InvalidRequest
from maicivy.ingest.body import MAX_DEPTH, MAX_INTEGER, MAX_KEYS, parse_object
from maicivy.ingest.event import (
    EVENT_TYPE,
    LETTER_TYPES,
    MAX_SESSION_DURATION,
    MAX_URL_LENGTH,
    THEME,
    Fields,
    check_fields,
    path_of,
)
from maicivy.ingest.urls import QueryParameters

KEPT = QueryParameters.of(["theme", "utm_*"])
OWN_HOSTS = frozenset({"own.example"})


def check_text(text: str) -> None:
    """Fail unless PostgreSQL can store `text`."""
    assert "\x00" not in text
    text.encode("utf-8")


def check_value(value: Any, levels: int = MAX_DEPTH) -> None:
    """Fail unless jsonb can hold `value`, nested at most `levels` deep."""
    if isinstance(value, dict):
        assert levels > 0
        assert len(value) <= MAX_KEYS
        for key, part in value.items():
            check_text(key)
            check_value(part, levels - 1)
    elif isinstance(value, list):
        assert levels > 0
        for part in value:
            check_value(part, levels - 1)
    elif isinstance(value, str):
        check_text(value)
    elif isinstance(value, float):
        assert math.isfinite(value)
        assert abs(value) <= MAX_INTEGER
    elif type(value) is int:
        assert abs(value) <= MAX_INTEGER
    else:
        assert value is None or isinstance(value, bool)


def check_object(value: Any) -> None:
    """Fail unless `value` is an object that is the same after a trip through JSON."""
    assert type(value) is dict
    check_value(value)
    assert json.loads(json.dumps(value, ensure_ascii=False, allow_nan=False)) == value


def check_sentence(error: InvalidRequest) -> None:
    """Fail unless a refusal is one sentence with a code."""
    assert error.status == 400
    assert error.message.endswith(".")
    assert "\n" not in error.message
    assert len(error.message) < 200
    assert re.fullmatch("[a-z_]+", error.code)


def check_stored(fields: Fields) -> None:
    """Fail unless every field can be stored."""
    assert re.fullmatch(EVENT_TYPE, fields.event_type)
    if fields.data is not None:
        check_object(fields.data)
    for url in (fields.page_url, fields.referrer):
        if url is not None:
            check_text(url)
            assert 0 < len(url) <= MAX_URL_LENGTH
            path_of(url)
    assert type(fields.session_duration) is int
    assert 0 <= fields.session_duration <= MAX_SESSION_DURATION
    assert fields.letter_type in (None, *LETTER_TYPES)
    assert fields.theme is None or re.fullmatch(THEME, fields.theme)


def check_body(body: bytes, referer: str | None = None) -> Fields | InvalidRequest:
    """Take a body the whole way; fail unless it is stored whole or refused with a sentence."""
    try:
        value = parse_object(body)
        check_object(value)
        fields = check_fields(value, KEPT, OWN_HOSTS, referer)
    except InvalidRequest as error:
        check_sentence(error)
        return error
    check_stored(fields)
    return fields
