"""The body of a request as a JSON object, strictly: what PostgreSQL would refuse is refused here.

The usual readers accept NaN, duplicate keys, U+0000, lone surrogates and numbers that no other
program can hold. None of these gets past this module. A body that is written as browsers write it
is read by a fast reader that also writes: what comes out as it went in hides nothing. Every other
body is read strictly, and that alone finds words for what is wrong. All pure.
"""

from __future__ import annotations

import json
from typing import Any

from maicivy.errors import InvalidRequest
from maicivy.jsontext import read_exact

MAX_DEPTH = 8
MAX_KEYS = 50
MAX_EVENTS = 500
MAX_INTEGER = 2**53

_LOOKED_INTO = frozenset({dict, list, float})


def parse_object(body: bytes, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Return the JSON object in `body`; raises `InvalidRequest` that says what is wrong."""
    # an escape is the only way for U+0000 and half a surrogate pair
    value = None if b"\\u" in body else read_exact(body)
    if isinstance(value, dict) and _is_plain(value, max_depth):
        return value
    return parse_strictly(body, max_depth)


def parse_strictly(body: bytes, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Return the same as `parse_object`, three times slower."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise _invalid("the body is not UTF-8 text") from None
    if not text.strip():
        raise _invalid("the body is empty")
    try:
        value = _DECODER.decode(text.strip(" \t\r\n"))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _invalid(f"the body is not JSON ({place})") from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_body")
    _check_depth(value, max_depth)
    if "\\u" in text:
        _check_text(value)
    return value


def parse_events(body: bytes) -> list[Any]:
    """Return the list in `{"events": [...]}`; raises `InvalidRequest` unless it has 1 to 500."""
    events = parse_object(body, MAX_DEPTH + 2).get("events")
    if not isinstance(events, list) or not 1 <= len(events) <= MAX_EVENTS:
        raise InvalidRequest(
            f"The field events must be a list of 1 to {MAX_EVENTS} events.", code="invalid_field"
        )
    return events


def as_object(value: Any) -> dict[str, Any]:
    """Return `value` if it is a JSON object; raises `InvalidRequest`."""
    if not isinstance(value, dict):
        raise InvalidRequest("An event must be a JSON object.", code="invalid_body")
    return value


def _invalid(reason: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid JSON: {reason}.", code="invalid_json")


def _too_deep() -> InvalidRequest:
    return _invalid(f"it is nested more than {MAX_DEPTH} levels deep")


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MAX_INTEGER:
        raise _invalid("a number is beyond 2^53, which not every program can hold")
    return int(digits)


def _number(text: str) -> float:
    value = float(text)
    if abs(value) > MAX_INTEGER:
        raise _invalid("a number is beyond 2^53, which not every program can hold")
    return value


def _constant(name: str) -> Any:
    raise _invalid(f"{name} is not a number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_KEYS:
        raise _invalid(f"an object has more than {MAX_KEYS} keys")
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _invalid("an object has the same key twice")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_number,
    parse_constant=_constant,
)


def _is_plain(value: dict[str, Any], max_depth: int) -> bool:
    """Say that depth, keys and numbers are certainly within their bounds, level by level."""
    level: list[Any] = [value]
    for _ in range(max_depth):
        deeper: list[Any] = []
        for part in level:
            if type(part) is float:
                if abs(part) > MAX_INTEGER:
                    return False
            elif type(part) is list:
                deeper += [item for item in part if type(item) in _LOOKED_INTO]
            elif len(part) <= MAX_KEYS:
                deeper += [item for item in part.values() if type(item) in _LOOKED_INTO]
            else:
                return False
        if not deeper:
            return True
        level = deeper
    return False


def _check_depth(value: Any, allowed: int) -> None:
    if not isinstance(value, dict | list):
        return
    if allowed == 0:
        raise _too_deep()
    for part in value.values() if isinstance(value, dict) else value:
        _check_depth(part, allowed - 1)


def _check_text(value: Any) -> None:
    """Refuse U+0000 and lone surrogates, which only an escape can have smuggled in."""
    if isinstance(value, dict):
        for key, part in value.items():
            _check_text(key)
            _check_text(part)
    elif isinstance(value, list):
        for part in value:
            _check_text(part)
    elif isinstance(value, str):
        if "\x00" in value:
            raise _invalid("a string holds U+0000")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise _invalid("a string holds half of a surrogate pair")
