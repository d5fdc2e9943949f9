"""How much of a URL is kept: of a page the parameters on the operator's list, of a referrer none.

A parameter that nobody listed may hold anything: an identity that an advertiser appends, an address
that a newsletter fills in. So what is kept is listed, and all the rest goes before it is redacted.
What stays is, byte for byte, as it was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from maicivy.config import PARAMETER_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable

# Nobody encodes a value this often, except to hide something in it.
MAX_DECODINGS = 5

_PARTS = re.compile(r"([^?#]*)\??([^#]*)#?(.*)", re.DOTALL)
_AUTHORITY = re.compile(r"( *[A-Za-z][A-Za-z0-9+.\-]*:[/\\]{2})([^/\\]*)(.*)", re.DOTALL)
_ROUTE = re.compile(r"!?/")
# Some servers part parameters by ";" too.
_BETWEEN = re.compile(r"([&;])")
_NAME = re.compile(PARAMETER_NAME)
# A pair within a value: what a reader that decodes once more would take for a parameter.
_INNER = re.compile(r"[&;?#]([^&;?#=]*)=")
# Parameters in a segment of a path: ";a=b", or behind a "?" that is encoded and so is none.
_SEGMENT = re.compile(r"[^/\\]+")
_MARK = re.compile(r"[;&]|%(?:25){0,4}(?:23|26|3[BF])", re.IGNORECASE)
_EQUALS = re.compile(r"=|%(?:25){0,4}3D", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class QueryParameters:
    """The query parameters that are kept: names in lower case, and beginnings of names.

    There is one list, so it is told from others by what it is: caches hash it all the time.
    """

    names: frozenset[str]
    beginnings: tuple[str, ...]

    @classmethod
    def of(cls, patterns: Iterable[str]) -> QueryParameters:
        """Read a list of names; a `*` at the end of one stands for any end, alone for any name."""
        known = [pattern.lower() for pattern in patterns]
        return cls(
            frozenset(name for name in known if not name.endswith("*")),
            tuple(name[:-1] for name in known if name.endswith("*")),
        )

    def clean(self, url: str) -> str:
        """Return a page URL with the kept parameters and, of a fragment, a hash route only."""
        origin, path, query, fragment = _split(url)
        route = self._clean_part(*_split_query(fragment)) if _ROUTE.match(fragment) else ""
        return origin + self._clean_part(path, query) + (f"#{route}" if route else "")

    def keeps(self, name: str) -> bool:
        """Say whether a parameter of this name, as it stands in a URL, is kept."""
        if "" in self.beginnings:
            return True
        # Decoded as often as a server does, which is once; what is then no plain name is none.
        name = unquote_plus(name).lower()
        if not _NAME.fullmatch(name):
            return False
        return name in self.names or name.startswith(self.beginnings)

    def _clean_part(self, path: str, query: str) -> str:
        kept = self._clean_query(query)
        return self._clean_path(path) + (f"?{kept}" if kept else "")

    def _clean_path(self, path: str) -> str:
        return path if "" in self.beginnings else _SEGMENT.sub(_without_pairs, path)

    def _clean_query(self, query: str) -> str:
        pieces = ["&", *_BETWEEN.split(query)]
        kept = [
            mark + pair
            for mark, pair in zip(pieces[::2], pieces[1::2], strict=True)
            if pair and self._keeps_pair(pair)
        ]
        return "".join(kept)[1:]

    def _keeps_pair(self, pair: str) -> bool:
        name, _, value = pair.partition("=")
        return self.keeps(name) and self._keeps_value(value)

    def _keeps_value(self, value: str) -> bool:
        """Look for pairs within a value, under any encoding: they are held to the list too."""
        for _ in range(MAX_DECODINGS):
            if not all(self.keeps(inner) for inner in _INNER.findall(value)):
                return False
            decoded = unquote(value)
            if decoded == value:
                return True
            value = decoded
        return "" in self.beginnings


NO_PARAMETERS = QueryParameters.of(())


def without_query(url: str) -> str:
    """Return scheme, host, port and path of a referrer."""
    origin, path, _, _ = _split(url)
    return origin + NO_PARAMETERS.clean(path)


def own_path(url: str, own_hosts: frozenset[str]) -> str:
    """Return an absolute URL of this site as its path, and any other URL as it is."""
    if url.startswith("/") or not url.lower().startswith(("http://", "https://")):
        return url
    rest = url.partition("//")[2]
    end = min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))
    if rest[:end].lower() not in own_hosts:
        return url
    path = rest[end:]
    return path if path.startswith("/") else f"/{path}"


def _without_pairs(segment: re.Match[str]) -> str:
    text = segment[0]
    mark = _MARK.search(text)
    return text[: mark.start()] if mark and _EQUALS.search(text, mark.end()) else text


def _split(url: str) -> tuple[str, str, str, str]:
    """Cut a URL into origin, without the user's name and password, path, query and fragment."""
    found = _PARTS.fullmatch(url)
    if found is None:  # pragma: no cover - the pattern takes any string
        return "", "", "", ""
    head, query, fragment = found.groups()
    absolute = _AUTHORITY.fullmatch(head)
    if absolute is None:
        return "", head, query, fragment
    scheme, authority, path = absolute.groups()
    return scheme + authority.rpartition("@")[2], path, query, fragment


def _split_query(route: str) -> tuple[str, str]:
    found = _PARTS.fullmatch(route)
    return (found[1], found[2]) if found else ("", "")
