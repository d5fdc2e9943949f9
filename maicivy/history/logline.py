"""One line of a combined log, as nginx and Apache write it, and what their escapes stand for. Pure.

Text is what ISO 8859-1 makes of the bytes, so that each character is a byte: whoever needs letters
decodes what is left after the escapes.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import NamedTuple

from maicivy.ingest.network import UNSPECIFIED, read_address

# A text between quotes, in which a backslash hides what follows.
_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_LINE = re.compile(
    r"(.{5,1024}?) \[(\d\d/[A-Za-z]{3}/\d{4}):(\d\d):(\d\d):(\d\d) ([+-]\d{4})\] "
    rf"{_QUOTED} (\d{{3}}) (?:\d+|-) {_QUOTED} {_QUOTED}"
)
_MONTH_NAMES = "jan feb mar apr may jun jul aug sep oct nov dec"
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES.split(), start=1)}
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u00([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "v": "\v", "f": "\f"}
# What may stand in a request's target as it is; a server gets all else percent-encoded, or should.
_UNUSUAL = re.compile(r"[^!$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]")
_ABSOLUTE = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://[^/?#]*")


class LogLine(NamedTuple):
    """What is read of a line; texts as they were written, escapes and all. `seconds` is an epoch's.

    `host` is the name of the virtual host, if the log begins its lines with one.
    """

    host: str
    client: str
    seconds: int
    request: str
    status: int
    referrer: str
    user_agent: str


def read_line(line: str) -> LogLine | None:
    """Return what a line says, or None when it is no line of a combined log."""
    found = _LINE.match(line)
    if found is None:
        return None
    who, date, hour, minute, second, offset, request, status, referrer, agent = found.groups()
    midnight = _midnight(date, offset)
    parties = _parties(who.split(" "))
    if midnight is None or parties is None or hour > "23" or minute > "59" or second > "60":
        return None
    seconds = midnight + int(hour) * 3600 + int(minute) * 60 + min(int(second), 59)  # or a leap one
    return LogLine(*parties, seconds, request, int(status), referrer, agent)


def is_whole(line: str) -> bool:
    """Say whether a last line without an end says all that it could say."""
    return _LINE.fullmatch(line) is not None and read_line(line) is not None


@lru_cache(maxsize=1024)
def _midnight(date: str, offset: str) -> int | None:
    """Return the second at which a day such as `10/Oct/2026` begins under `+0200`."""
    try:
        day = dt.datetime(int(date[7:]), _MONTHS[date[3:6].lower()], int(date[:2]), tzinfo=dt.UTC)
    except (ValueError, KeyError):
        return None
    ahead = int(offset[1:3]) * 3600 + int(offset[3:]) * 60
    return int(day.timestamp()) - (ahead if offset[0] == "+" else -ahead)


def _parties(words: list[str]) -> tuple[str, str] | None:
    """Return virtual host and client of the words before the time: host?, client, ident, user.

    A user's name may have spaces; an ident is hardly ever told and so a hyphen.
    """
    if len(words) < 3:
        return None
    if words[1] != "-" and len(words) > 3 and (words[2] == "-" or _is_address(words[1])):
        return words[0], words[1]
    return "", words[0]


def _is_address(word: str) -> bool:
    return read_address(word) != UNSPECIFIED


def unescape(text: str) -> str:
    r"""Return a quoted text without `\x22`, `\"`, `\\`, `\n` and their like."""
    return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    return chr(int(code, 16)) if code else _CONTROLS.get(found[3], found[3])


def decode(text: str) -> str:
    """Return the letters of a quoted text; bytes that are no UTF-8 become lone surrogates."""
    plain = unescape(text)
    return plain if plain.isascii() else plain.encode("latin-1").decode(errors="surrogateescape")


def target_of(request: str) -> str | None:
    """Return path and query of a GET as a browser would have sent them, or None of all others."""
    if not request.startswith("GET "):
        return None
    target, http, version = request[4:].rpartition(" HTTP/")
    if not http or not version:
        return None
    target = unescape(target)
    if not target.startswith("/"):
        absolute = _ABSOLUTE.match(target)
        if absolute is None:
            return None
        target = target[absolute.end() :]
        target = target if target.startswith("/") else f"/{target}"
    target = target.partition("#")[0]
    return _UNUSUAL.sub(lambda found: f"%{ord(found[0]):02X}", target)
