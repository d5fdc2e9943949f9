"""What a request's headers say about its client: person, tool or bot, and families only.

The User-Agent itself goes no further than this module.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache

from maicivy.ingest import families
from maicivy.ingest.crawlers import declares_itself, is_crawler
from maicivy.ingest.tools import begins_as_tool, names_library

MAX_USER_AGENT_LENGTH = 512
MAX_LANGUAGE_LENGTH = 128


class ClientKind(enum.StrEnum):
    """Who is asking, as far as counting is concerned."""

    PERSON = "person"
    """An ordinary browser: everything it does is counted."""
    TOOL = "tool"
    """An HTTP library or a command-line client: only what it reports itself is counted."""
    BOT = "bot"
    """A crawler, a monitor or a headless browser: never counted."""


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """All that is kept of a User-Agent; `device` is one of `families.DEVICES`."""

    kind: ClientKind
    browser: str
    os: str
    device: str


# A language tag as RFC 5646 spells it; longer primary subtags than three letters are not in use.
_LANGUAGE = re.compile(
    r"[ \t]{0,16}([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]{1,8}){0,8}[ \t]{0,16}(?:[;,]|$)"
)


def client_facts(user_agent: str) -> ClientFacts:
    """Reduce a User-Agent to its kind and its families; an empty one is a tool's."""
    return _facts(user_agent[:MAX_USER_AGENT_LENGTH])


def language(accept_language: str) -> str:
    """Return the primary subtag of the first language ("fr"), or "" when there is none."""
    return _language(accept_language[:MAX_LANGUAGE_LENGTH])


@lru_cache(maxsize=1024)
def _language(accept_language: str) -> str:
    found = _LANGUAGE.match(accept_language)
    return found[1].lower() if found else ""


@lru_cache(maxsize=4096)
def _facts(user_agent: str) -> ClientFacts:
    text = user_agent.strip().lower()
    browser = families.find(families.BROWSERS, text)
    system = families.find(families.SYSTEMS, text)
    kind = _kind(user_agent.strip(), text, browser, system)
    if kind is not ClientKind.PERSON:
        return ClientFacts(kind, families.UNKNOWN, system, families.UNKNOWN)
    return ClientFacts(kind, browser, system, _device(text, system))


def _kind(user_agent: str, text: str, browser: str, system: str) -> ClientKind:
    if begins_as_tool(text):
        return ClientKind.TOOL
    if is_crawler(user_agent):
        return ClientKind.BOT
    if names_library(text):
        return ClientKind.TOOL
    if declares_itself(user_agent):
        return ClientKind.BOT
    return ClientKind.PERSON if _is_browser(text, browser, system) else ClientKind.TOOL


def _is_browser(text: str, browser: str, system: str) -> bool:
    """Say whether anything here is known of a browser; a bare "Mozilla/5.0" is a script's."""
    known = browser != families.UNKNOWN
    return known or (text.startswith("mozilla/") and system != families.UNKNOWN)


def _device(text: str, system: str) -> str:
    for name, pattern in families.DEVICE:
        if pattern.search(text):
            return name
    return families.DESKTOP if system in families.DESKTOP_SYSTEMS else families.UNKNOWN
