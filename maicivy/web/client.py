"""What aiohttp's request says of the client, in the words of `ingest`."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from maicivy.errors import Forbidden, InvalidRequest
from maicivy.ingest.identity import ClientRequest, Identity
from maicivy.ingest.visitor import COOKIE_LENGTH, COOKIE_NAME

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web
    from multidict import CIMultiDictProxy

    from maicivy.ingest.network import Proxies

# A name or an address in brackets, and a port; RFC 9112 asks for 400 for everything else.
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# The session among the cookies of a request, of which there may be many.
_SESSION = re.compile(
    rf'(?:^|[;\s]){COOKIE_NAME}="?([A-Za-z0-9_-]{{{COOKIE_LENGTH}}})"?(?=[;\s]|$)'
)
_LOOPBACK_NAMES = frozenset({"localhost", "::1"})


def client_of(request: web.Request, proxies: Proxies) -> ClientRequest:
    """Return who sent the request, as far as headers, connection and `proxies` tell."""
    headers = request.headers
    return ClientRequest(
        address=proxies.client_address(request.remote, _forwarded_for(headers)),
        host=request.host,
        user_agent=headers.get("User-Agent", ""),
        accept_language=headers.get("Accept-Language", ""),
        cookie=_session(headers["Cookie"]) if "Cookie" in headers else None,
        fetch_site=headers.get("Sec-Fetch-Site", ""),
        opted_out=headers.get("DNT") == "1" or headers.get("Sec-GPC") == "1",
    )


def _session(cookies: str) -> str | None:
    found = _SESSION.search(cookies)
    return found[1] if found else None


def _forwarded_for(headers: CIMultiDictProxy[str]) -> str:
    return ",".join(headers.getall("X-Forwarded-For")) if "X-Forwarded-For" in headers else ""


def is_https(request: web.Request, proxies: Proxies) -> bool:
    """Say whether the client's own connection is encrypted, as a trusted proxy may know."""
    if request.secure:
        return True
    if request.headers.get("X-Forwarded-Proto", "").lower() != "https":
        return False
    return proxies.trust(request.remote)


def session_cookie(identity: Identity, *, secure: bool) -> str:
    """Return the header that gives the client its session cookie."""
    return _cookie(identity.new_cookie or "", identity.cookie_seconds, secure=secure)


def end_cookie(*, secure: bool) -> str:
    """Return the header that has the client drop its session cookie."""
    return _cookie("", 0, secure=secure)


def _cookie(value: str, seconds: int, *, secure: bool) -> str:
    end = "; Secure" if secure else ""
    return f"{COOKIE_NAME}={value}; HttpOnly; Max-Age={seconds}; Path=/; SameSite=Lax{end}"


def check_host(request: web.Request) -> None:
    """Refuse a Host header that names no host; raises `InvalidRequest`."""
    if not _HOST.fullmatch(request.headers.get("Host", "none")):
        raise InvalidRequest("The Host header does not name a host.", code="invalid_host")


def allowed_origin(request: web.Request, allowed: Collection[str]) -> str | None:
    """Return the request's Origin when it is one of the `allowed` ones."""
    origin = request.headers.get("Origin")
    return None if origin is None or origin.lower() not in allowed else origin


def check_origin(request: web.Request, allowed: Collection[str]) -> None:
    """Refuse a page of another site that is not `allowed`; raises `Forbidden`.

    Programs that are no browsers send no Origin. On a machine's own loopback addresses, pages of
    any port may connect: that is a developer at work.
    """
    origin = request.headers.get("Origin")
    if origin is None or origin.lower() in allowed:
        return
    if not _is_own_origin(origin, request.host):
        raise Forbidden(
            "Pages of this origin may not do this; the operator can allow it.",
            code="origin_not_allowed",
        )


@lru_cache(maxsize=1024)
def _is_own_origin(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
        own = urlsplit(f"//{host}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            return False
        if parts.netloc.lower() == host.lower():
            return True
        return _is_loopback(parts.hostname) and _is_loopback(own.hostname or "")
    except ValueError:
        return False


def _is_loopback(name: str) -> bool:
    if name in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
