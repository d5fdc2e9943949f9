"""Values that must never be kept, and how to find them again in whatever form they were kept."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import ipaddress
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CLIENT_IPV4 = "203.0.113.77"
CLIENT_IPV6 = "2001:db8:77:beef::c0de"
USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:131.7.3.9) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.7331.99 Safari/537.36 OPR/canary7731"
)


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _jwt(subject: str) -> str:
    head, body = (json.dumps(part) for part in ({"alg": "HS256"}, {"sub": subject, "n": 7731}))
    return f"{_encoded(head)}.{_encoded(body)}.{_encoded('signature of ' + subject)}"


# What is known by its shape, wherever it stands.
SHAPES = (
    "camille.moreau7731@courriel.example",
    "o'brien+cv@mail.sub.example",
    "+33 6 98 76 54 32",
    "06.98.76.54.33",
    "0698765434",
    "+442079460958",
    "(415) 555-0188",
    "0049 30 901820991",
    _jwt("jwt-canary"),
    "4539 1488 0343 6467",
    "5425233430109903",
    "374245455400126",
    "FR1420041010050500013M02606",
    "DE89 3704 0044 0532 0130 00",
    "sk_live_canary7731abcdef",
    "AKIAIOSFODNN7CANARY1",
    "ghp_canary7731canary7731canary7731cana",
    "f3a9c41b77e2d05586ab9c3de1f04477",
    CLIENT_IPV4,
    "198.51.100.231",
    CLIENT_IPV6,
    "00:1b:44:11:3a:b7",
)
# What is known by its shape in a text, not as a part of a URL.
IN_TEXTS = (
    USER_AGENT,
    "Bearer canary7731bearer",
    "Basic " + base64.b64encode(b"canaryuser:canarypass7731").decode(),
    "theme=a; visit=canary7731cookie",
)
# What is known by the name it stands under, in event data and in URLs.
NAMED = {
    "first_name": "Maximilienne",
    "nom": "Quatrefages",
    "lastname": "Zorander",
    "user.name": "Hildegonde",
    "full-name": "Philomene Vanderquist",
    "prenom": "Anthelme",
    "username": "wanderfalke",
    "password": "Tr0ub4dor-canary",
    "mot_de_passe": "sesame-canary",
    "session_id": "session-canary-1",
    "PHPSESSID": "session-canary-2",
    "jsessionid": "session-canary-3",
    "sid": "session-canary-4",
    "access_token": "token-canary-1",
    "csrfToken": "token-canary-2",
    "apiKey": "token-canary-3",
    "otp": "otp-canary-1",
    "address": "12 rue Canari",
    "phone": "phone-canary-1",
    "visitor_email": "email-canary-1",
}
# What nothing tells apart from a word: dropped with what it stands in.
REFERRER_USER, REFERRER_PASSWORD = "referreruser7731", "referrerpassword7731"
REFERRER_QUERY, REFERRER_FRAGMENT = "referrerquery7731", "referrerfragment7731"
FRAGMENT, UNLISTED = "fragmentcanary7731", "unlistedcanary7731"
HEADERS = {
    "Accept-Language": "languagecanary7731, fr;q=0.5",
    "Authorization": "Bearer authorizationcanary7731",
    "Proxy-Authorization": "Basic proxycanary7731",
    "From": "headerfrom7731@mail.example",
    "Forwarded": "for=203.0.113.91;host=forwardedcanary7731.example",
    "X-Forwarded-Host": "forwardedhost7731.example",
    "X-Forwarded-Proto": "protocanary7731",
    "X-Real-IP": "203.0.113.92",
    "CF-Connecting-IP": "203.0.113.93",
    "True-Client-IP": "203.0.113.94",
    "Via": "1.1 viacanary7731",
    "Host": "hostcanary7731.example",
    "X-Request-ID": "requestcanary7731",
    "Sec-CH-UA": '"uacanary7731";v="1"',
    "Cookie": "other=othercookie7731; maicivy_session=" + "forgedcanary7731" * 3,
}
HEADER_VALUES = (
    *(found for value in HEADERS.values() for found in re.findall(r"[\w.@]*7731[\w.]*", value)),
    *(f"203.0.113.{last}" for last in (91, 92, 93, 94)),
)
ALWAYS = (
    *SHAPES,
    *IN_TEXTS,
    *NAMED.values(),
    *HEADER_VALUES,
    REFERRER_USER,
    REFERRER_PASSWORD,
    REFERRER_QUERY,
    REFERRER_FRAGMENT,
    FRAGMENT,
    "canaryuser:canarypass7731",
    "canary7731bearer",
    "canary7731cookie",
)


def needles(canary: str) -> Iterator[tuple[str, bytes]]:
    """Yield every form of a canary with its name; those in lower case are for texts in it."""
    for name, text in _spellings(canary):
        raw = text.encode()
        for form in (text, quote(text, safe=""), quote_plus(text), quote(quote(text, safe=""))):
            yield name, form.lower().encode()
        yield f"{name} in hex", binascii.hexlify(raw)
        yield from ((f"{name} in base64", form) for form in _base64_of(raw))
        yield from _hashes(name, raw)
    with contextlib.suppress(ValueError):
        yield from _hashes(f"{canary} packed", ipaddress.ip_address(canary).packed)


def _hashes(name: str, raw: bytes) -> Iterator[tuple[str, bytes]]:
    for method in ("sha256", "sha1", "md5"):
        digest = hashlib.new(method, raw).digest()
        forms = {digest, digest.hex().encode(), *_base64_of(digest)}
        yield from ((f"{method} of {name}", form) for form in forms)


def _spellings(canary: str) -> Iterator[tuple[str, str]]:
    yield canary, canary
    if re.fullmatch(r"[+\d (),.-]{9,}", canary) and canary.count(".") != 3:
        yield f"digits of {canary}", re.sub(r"\D", "", canary)
    if "::" in canary:
        address = ipaddress.IPv6Address(canary)
        yield f"{canary} in full", address.exploded
        yield f"{canary} packed", address.packed.hex()


def _base64_of(raw: bytes) -> set[bytes]:
    """Return what of a value stays the same wherever it begins in what is encoded."""
    forms = set()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + raw)
        first = -(-before * 4 // 3)
        last = (before + len(raw)) * 4 // 3
        forms |= {text[first:last], base64.urlsafe_b64encode(b"\0" * before + raw)[first:last]}
    return forms


def find(canaries: Iterable[str], places: dict[str, bytes]) -> list[str]:
    """Return where which canary was found in which form."""
    wanted = {form: name for canary in canaries for name, form in needles(canary)}
    found = []
    for place, content in places.items():
        both = content, content.lower()
        found += [f"{name} in {place}" for form, name in wanted.items() if _in(form, both)]
    return sorted(set(found))


def _in(form: bytes, contents: tuple[bytes, ...]) -> bool:
    return any(form in content for content in contents)
