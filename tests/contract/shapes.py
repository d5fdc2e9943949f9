"""Comparing an answer with the document's example: the same keys, types and formats."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ABSENT = "absent"
UNIX_SECONDS = range(1_000_000_000, 10_000_000_000)

_FORMATS = {
    "instant": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
    "day": re.compile(r"\d{4}-\d\d-\d\d"),
    "week": re.compile(r"\d{4}-W\d\d"),
    "month": re.compile(r"\d{4}-\d\d"),
    "path": re.compile(r"/[^\s]*"),
}


class Difference(NamedTuple):
    """One thing that is not as the document says."""

    what: str
    says: str
    true: str


def differences(example: Any, actual: Any, what: str) -> Iterator[Difference]:
    """Yield what differs in keys, types, formats, and in texts that have no format.

    Lists are compared element by element; a list longer than the example goes on like its last
    element. An empty list would prove nothing and is a difference.
    """
    if isinstance(example, dict) and isinstance(actual, dict):
        for key in [*example, *(key for key in actual if key not in example)]:
            place = f"{what}.{key}" if what else key
            if key in example and key in actual:
                yield from differences(example[key], actual[key], place)
            else:
                says = kind(example[key]) if key in example else ABSENT
                yield Difference(place, says, kind(actual[key]) if key in actual else ABSENT)
    elif isinstance(example, list) and isinstance(actual, list):
        if not actual:
            yield Difference(what, "array", "empty array")
        for index, part in enumerate(actual):
            yield from differences(example[min(index, len(example) - 1)], part, f"{what}[]")
    elif kind(example) != kind(actual):
        yield Difference(what, kind(example), kind(actual))


def kind(value: Any) -> str:
    """Return the type of a JSON value; of a text its format, or else the text itself."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        return "unix seconds" if value in UNIX_SECONDS else "integer"
    if isinstance(value, str):
        return _kind_of_text(value)
    return {float: "number", list: "array", dict: "object"}[type(value)]


def _kind_of_text(text: str) -> str:
    if text == "uuid" or is_uuid(text):  # the examples have the word for the thing
        return "uuid"
    for name, pattern in _FORMATS.items():
        if pattern.fullmatch(text):
            return name
    try:
        return "JSON object" if isinstance(json.loads(text), dict) else repr(text)
    except ValueError:
        return repr(text)


def is_uuid(text: str) -> bool:
    """Say whether the text is a UUID as everybody writes it."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def parse_instant(text: str) -> dt.datetime:
    """Read an instant as the document writes it."""
    return dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.UTC)


def table_differences(says: Mapping[str, str], true: Mapping[str, str]) -> Iterator[Difference]:
    """Yield the rows in which two tables differ."""
    for name in [*says, *(name for name in true if name not in says)]:
        if says.get(name) != true.get(name):
            yield Difference(name, says.get(name, ABSENT), true.get(name, ABSENT))
