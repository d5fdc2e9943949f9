"""What personal data and secrets look like inside free text, and how they are taken out.

Every pattern is linear: quantifiers that could meet themselves again are bounded. Each group runs
only when a character it cannot do without is there, so ordinary short values cost almost nothing.

UUIDs are kept: they are how a page or an event is named, they are nobody's password, and the
visitor's own never comes from the outside. Dates and timestamps are kept. A version of four numbers
cannot be told from an IPv4 address and goes, unless it begins with a "v".
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from maicivy.ingest.redact_keys import is_sensitive_key
from maicivy.ingest.redact_runs import is_secret

if TYPE_CHECKING:
    from collections.abc import Callable

REDACTED = "[redacted]"
URL_REDACTED = "redacted"
_ALREADY = frozenset({REDACTED, URL_REDACTED, "%5Bredacted%5D", "%5bredacted%5d"})

# --- e-mail ---------------------------------------------------------------------------------------

# Besides the sign itself: its full-width forms, percent-encoded any number of times, an HTML or a
# JavaScript escape, and "(at)".
_AT = r"(?:[@\uff20\ufe6b]|%(?:25){0,4}40|&#0*64;|&commat;|\\u0040|\s?[\[({]\s?at\s?[\])}]\s?)"
_DOT = r"(?:[.\u3002\uff0e\uff61]|%(?:25){0,4}2e|\s?[\[({]\s?dot\s?[\])}]\s?)"
_NO_LOCAL = r"""\s@<>()\[\],;:"=&?/\\|{}\uff20\ufe6b"""
_LOCAL = rf"""(?:"[^"\n]{{1,64}}"|(?<![^{_NO_LOCAL}])[^{_NO_LOCAL}]+)"""
_DOMAIN = rf"(?:[\w\-]{{1,63}}{_DOT}){{0,8}}[^\W\d_][\w\-]{{0,62}}"
EMAIL = re.compile(
    rf"{_LOCAL}{_AT}(?:{_DOMAIN}|\[?\d{{1,3}}(?:\.\d{{1,3}}){{3}}\]?)", re.IGNORECASE
)
_EMAIL_SIGN = re.compile(r"[@\uff20\ufe6b%&\\\[({]")
_EMAIL_HINT = re.compile(_AT, re.IGNORECASE)

# --- numbers --------------------------------------------------------------------------------------

_GAP = r"[\s.\-/()\u2010-\u2015\u200b-\u200f\u2060\ufeff]{0,3}"
# Where a word begins and ends; "_" parts words: "utm_0033…".
_BEFORE, _AFTER = r"(?<![^\W_])", r"(?![^\W_])"
_LONE = r"(?<!\d)(?<!\d[.,])"
_IPV4_PART = r"(?:25[0-5]|2[0-4]\d|[01]?\d?\d)"
_NUMBERS = rf"""
    (?P<keep>
        (?<![\w-])[0-9a-fA-F]{{8}}(?:-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}(?![\w-])
      | (?<!\d)(?:19|20)\d\d(?P<ymd>[-/._])(?:0?[1-9]|1[0-2])(?P=ymd)(?:[12]\d|3[01]|0?[1-9])
        (?:[T_\s-]\d\d[-:._h]?\d\d(?:[-:._]?\d\d(?:[.,]\d{{1,9}})?)?)?(?:Z|[+-]\d\d:?\d\d)?(?!\d|[.-]\d)
      | (?<!\d)(?:0?[1-9]|[12]\d|3[01])(?P<dmy>[-/.])(?:0?[1-9]|1[0-2])(?P=dmy)(?:19|20)\d\d(?!\d)
    )
  | (?P<phone>
        (?:\+|{_BEFORE}00){_GAP}[1-9](?:{_GAP}\d){{7,14}}(?!\d)
      | {_LONE}0[1-9](?:{_GAP}\d){{7,9}}(?!\d)
      | \(0?\d{{2,4}}\){_GAP}\d(?:{_GAP}\d){{5,9}}(?!\d)
      | {_LONE}(?:1[\s.-])?\d{{3}}[\s.-]\d{{3}}[\s.-]\d{{4}}(?!\d)
    )
  | (?P<ssn>{_BEFORE}(?<!-)\d{{3}}-\d\d-\d{{4}}(?!-){_AFTER})
  | (?P<ipv4>(?<!\d)(?<!\d\.)(?<!\bv)(?:{_IPV4_PART}\.){{3}}{_IPV4_PART}(?!\d)(?!\.\d))
"""
NUMBERS = re.compile(_NUMBERS, re.VERBOSE | re.IGNORECASE)
CARD = re.compile(
    rf"{_LONE}(?:[2-6]\d{{12,18}}|[2-6]\d{{3}}(?:[\s.-]{{1,3}}\d{{4}}){{3}}(?:[\s.-]\d{{1,3}})?"
    r"|3\d{3}[\s.-]{1,3}\d{6}[\s.-]{1,3}\d{4,5})(?!\d)"
)
_NUMBERS_HINT = re.compile(rf"\d(?:{_GAP}\d){{6}}|\d\.\d{{1,3}}\.\d")

# ISO 13616: how long an IBAN is in each country.
IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI NL",
        19: "MK SI",
        20: "AT EE LT LU XK",
        21: "CH HR LI LV",
        22: "BG DE GB GE IE ME RS",
        23: "AE GI IL",
        24: "AD CZ ES MD RO SA SE SK TN",
        25: "PT",
        26: "IS TR",
        27: "FR GR IT MC MR SM",
        28: "AL CY DZ HU LB MA PL",
        31: "MT",
    }.items()
    for country in countries.split()
}
IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d(?:[ -]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")
COLONS = re.compile(
    rf"{_BEFORE}(?<![:.])(?:[0-9A-Fa-f]{{0,4}}:){{2,8}}"
    rf"(?:[0-9A-Fa-f]{{0,4}}|\d{{1,3}}(?:\.\d{{1,3}}){{3}})(?!:){_AFTER}"
)
_BYTE = "[0-9A-Fa-f]{2}"
HARDWARE_MARKS = 5
HARDWARE = re.compile(
    rf"{_BEFORE}(?:(?<!:){_BYTE}(?::{_BYTE}){{5}}(?!:)|(?<!-){_BYTE}(?:-{_BYTE}){{5}}(?!-)){_AFTER}"
)

# --- secrets --------------------------------------------------------------------------------------

RUN_LENGTH = 12
RUN = re.compile(rf"[A-Za-z0-9+/_=\-]{{{RUN_LENGTH},}}(?:\.[A-Za-z0-9+/_=\-]{{2,}}){{0,4}}")
SHORT_TOKEN = re.compile(r"(?<![A-Za-z0-9])(?:ya29|SG)\.[\w.\-]{8,}")
# What a text must mention, in any case, for the pattern below to find something.
_CREDENTIALS_WORDS = ("bearer", "basic", "digest", "negotiate", "-----begin")
CREDENTIALS = re.compile(
    rf"{_BEFORE}(?:bearer[ \t:]{{1,3}}[^\s,;\"']{{1,4096}}"
    r"|(?:basic|digest|negotiate)[ \t]{1,3}(?=[A-Za-z+/]{0,64}[0-9=])[A-Za-z0-9+/=]{8,4096})"
    r"|-----BEGIN[^-]{0,40}PRIVATE KEY-----[^-]{0,8192}(?:-----END[^-]{0,40}-----)?",
    re.IGNORECASE,
)

# --- headers --------------------------------------------------------------------------------------

USER_AGENT = re.compile(r"(?:Mozilla|Opera|Dalvik|AppleWebKit|UCWEB)/\d[^\n]*")
_HEADER_WORDS = ("cookie", "authorization")
HEADER = re.compile(
    r"\b((?:set-)?cookie2?|(?:proxy-)?authorization)([\"']?\s{0,3}[:=]\s{0,3})([^\n]+)",
    re.IGNORECASE,
)
_NO_COOKIE = r"""\s,&;("'>{\["""
_COOKIE = rf"[\w.\-%]{{1,64}}=[^{_NO_COOKIE}]{{0,4096}}"
COOKIES = re.compile(rf"(?<![^{_NO_COOKIE}]){_COOKIE};\s{{0,2}}{_COOKIE}(?:;[^\n]*)?")
# `key=value`, `key: value`, `"key": "value"`; "[name=x]" is a CSS selector, not somebody's name.
_KEY = r"""(?<![\w.\-\[])((?=[^\W\d_])[\w.\-\[\]]{2,64})(["']?\s{0,3}"""
_QUOTED = r"""("[^"\n]{1,1024}|'[^'\n]{1,1024}"""
PAIRS = {
    "=": re.compile(rf"""{_KEY}=\s{{0,3}}){_QUOTED}|[^\s&;,#"'{{}}<>]{{1,1024}})"""),
    ":": re.compile(rf"""{_KEY}:\s{{0,3}}){_QUOTED}|[^&;,#"'{{}}<>\n]{{1,1024}})"""),
}


def scan(text: str) -> str:
    """Take out, in one pass, everything this module knows; the caller repeats it until it holds."""
    if _EMAIL_SIGN.search(text) and _EMAIL_HINT.search(text):
        text = EMAIL.sub(REDACTED, text)
    if "/" in text:
        text = USER_AGENT.sub(REDACTED, text)
    if "=" in text or ":" in text or text.count("-") >= HARDWARE_MARKS:
        text = _scan_pairs(text)
    if _NUMBERS_HINT.search(text):
        text = _scan_numbers(text)
    if _mentions(text, _CREDENTIALS_WORDS):
        text = CREDENTIALS.sub(REDACTED, text)
    if "ya29." in text or "SG." in text:
        text = SHORT_TOKEN.sub(REDACTED, text)
    return RUN.sub(_run, text) if len(text) >= RUN_LENGTH else text


def _mentions(text: str, words: tuple[str, ...]) -> bool:
    """Say whether a text may hold one of `words` in any case, which beyond ASCII has odd rules."""
    if not text.isascii():
        return True
    lower = text.lower()
    for word in words:  # noqa: SIM110 - half of the time of any()
        if word in lower:
            return True
    return False


def _scan_numbers(text: str) -> str:
    if text.isascii():
        return _scan_ascii_numbers(text)
    # Digits of other scripts are dialled like ours; they stay themselves when nothing is found.
    plain = re.sub(r"\d", lambda found: str(int(found[0])), text)
    clean = _scan_ascii_numbers(plain)
    return text if clean == plain else clean


def _scan_ascii_numbers(text: str) -> str:
    text = _replace(IBAN, _end_of_iban, text)
    text = _replace(CARD, _end_of_card, text)
    return NUMBERS.sub(lambda found: found[0] if found["keep"] else REDACTED, text)


def _scan_pairs(text: str) -> str:
    if text.count(":") > 1:
        text = COLONS.sub(_colons, text)
    if text.count(":") >= HARDWARE_MARKS or text.count("-") >= HARDWARE_MARKS:
        text = HARDWARE.sub(REDACTED, text)
    if _mentions(text, _HEADER_WORDS):
        text = HEADER.sub(_header, text)
    if ";" in text:
        text = COOKIES.sub(REDACTED, text)
    for mark, pattern in PAIRS.items():
        if mark in text:
            text = _scan_values(pattern, text)
    return text


def _replace(pattern: re.Pattern[str], end_of: Callable[[re.Match[str]], int], text: str) -> str:
    """Redact what the pattern proposes and `end_of` confirms, by saying where it ends.

    What it does not confirm (0) hides nothing that begins a little later, as `sub` would.
    """
    done, kept, at = [], 0, 0
    while found := pattern.search(text, at):
        end = end_of(found)
        if end:
            done += [text[kept : found.start()], REDACTED]
            kept = end
        at = end or found.start() + 1
    return "".join(done) + text[kept:]


def _scan_values(pattern: re.Pattern[str], text: str) -> str:
    done, kept, at = [], 0, 0
    while found := pattern.search(text, at):
        start, at = found.start(3), found.end(2)
        start += text[start] in "\"'"
        if is_sensitive_key(found[1]):
            at = found.end()
            if text[start:at].strip() not in _ALREADY:
                done += [text[kept:start], REDACTED]
                kept = at
    return "".join(done) + text[kept:]


def _header(found: re.Match[str]) -> str:
    if found[3].startswith(tuple(_ALREADY)):
        return found[0]
    return f"{found[1]}{found[2]}{REDACTED}"


def _end_of_card(found: re.Match[str]) -> int:
    """Confirm the whole number or, if it is written in groups, its first 16 digits."""
    text = found[0]
    borders = [at + 1 for at, char in enumerate(text) if char.isdecimal()]
    grouped = len(text) > len(borders) > 16
    for end in (len(text), borders[15]) if grouped else (len(text),):
        if _is_luhn(text[:end]):
            return found.start() + end
    return 0


def _is_luhn(text: str) -> bool:
    digits = [int(char) for char in text if char.isdecimal()]
    if len(digits) == 13 and digits[0] != 4:
        return False
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _end_of_iban(found: re.Match[str]) -> int:
    """Confirm by the country's length and the check digits; words may follow without a border."""
    text = found[0]
    length = IBAN_LENGTHS.get(text[:2].upper(), 0)
    borders = [at + 1 for at, char in enumerate(text) if char.isalnum()]
    if not 0 < length <= len(borders):
        return 0
    end = borders[length - 1]
    number = re.sub("[ -]", "", text[:end])
    digits = "".join(str(int(char, 36)) for char in number[4:] + number[:4])
    return found.start() + end if int(digits) % 97 == 1 else 0


def _colons(found: re.Match[str]) -> str:
    try:
        ipaddress.IPv6Address(found[0])
    except ValueError:
        return found[0]
    return REDACTED if found[0].strip(":") else found[0]


def _run(found: re.Match[str]) -> str:
    return REDACTED if is_secret(found[0]) else found[0]
