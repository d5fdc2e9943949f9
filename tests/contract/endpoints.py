"""The REST chapter of the document: its endpoints, their parameters, its curl commands."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any

from yarl import URL

from tests.contract.document import SEED, Section

CHAPTER = "API REST Endpoints"
BASE = SEED.section("Base URL").text()
PUBLIC_GETS = SEED.section("Composants Principaux").number(r"(\d+) endpoints publics")

_HEADING = re.compile(r"\d+\. (GET|POST) `(/\w+)(?:\?(\S+))?`")
_PARAMETER = (
    r"`(?P<name>\w+)` \((?P<need>required|optional)"
    r"(?:, default: (?P<default>\d+))?(?:, max: (?P<max>\d+))?\)(?:: (?P<rest>.*))?"
)


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: what its heading and its blocks say."""

    method: str
    path: str
    query: str
    body: Any
    example: Any

    @classmethod
    def read(cls, section: Section) -> Endpoint | None:
        heading = _HEADING.fullmatch(section.title)
        if heading is None:
            return None
        method, path, query = heading.groups("")
        *body, example = section.json()
        return cls(method, path, query, body[0] if body else None, example)

    def requests(self) -> list[str]:
        """Return the heading's requests: one for each alternative of `a=x|y|z`."""
        names = [part.split("=") for part in self.query.split("&") if "|" in part]
        if not names:
            return [f"{BASE}{self.path}?{self.query}" if self.query else f"{BASE}{self.path}"]
        [(name, values)] = names
        return [f"{BASE}{self.path}?{name}={value}" for value in values.split("|")]


@dataclass(frozen=True)
class Parameter:
    """One query parameter: what its line says."""

    path: str
    name: str
    required: bool
    default: int | None
    highest: int | None
    values: list[str]


def _parameters() -> list[Parameter]:
    found = []
    for section in SEED.below(CHAPTER):
        heading = _HEADING.fullmatch(section.title)
        for line in section.matches(_PARAMETER) if heading and section.items else []:
            default, highest = line["default"], line["max"]
            found.append(
                Parameter(
                    path=f"{BASE}{heading[2]}" if heading else "",
                    name=line["name"],
                    required=line["need"] == "required",
                    default=int(default) if default else None,
                    highest=int(highest) if highest else None,
                    values=re.findall(r"`(\w+)`", line["rest"] or ""),
                )
            )
    return found


ENDPOINTS = {
    endpoint.path: endpoint for endpoint in map(Endpoint.read, SEED.below(CHAPTER)) if endpoint
}
PARAMETERS = _parameters()
CURLS = [
    command
    for section in [
        *(section for section in SEED.sections if section.title.startswith("cURL - ")),
        SEED.section("Tester Prometheus metrics"),
    ]
    for command in section.texts("bash")
]


def read_curl(command: str) -> tuple[str, URL, dict[str, str], str | None]:
    """Return the method, the address, the headers and the body of a command."""
    words = iter(shlex.split(command))
    assert next(words) == "curl"
    method, headers, body, url = "GET", {"User-Agent": "curl/8.14.1"}, None, URL()
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, value = next(words).split(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        else:
            url = URL(word, encoded=True)
    return method, url, headers, body
