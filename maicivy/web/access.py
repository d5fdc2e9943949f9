"""Who may read: everybody where there is no password; else who logged in or holds a grant.

One middleware asks before every handler that is not on the list of open ones (`routes.opened`), so
that a new route is behind the password until somebody decides otherwise.
"""

from __future__ import annotations

import asyncio
import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from aiohttp import web

from maicivy.errors import Forbidden, LoginRequired, StorageUnavailable
from maicivy.storage.grants import Kind
from maicivy.web.keys import ACCESS, CLOCK, CONFIG, OPENED, READER

if TYPE_CHECKING:
    import datetime as dt

    from aiohttp.typedefs import Handler

    from maicivy.storage.grants import Grants
    from maicivy.web.password import Password

COOKIE_NAME = "maicivy_login"
LOGIN, LOGOUT = "/login", "/logout"
HOME = "/dashboard"
MAX_NEXT_LENGTH = 1000
# How soon a live feed ends whose reader may read no longer.
RECHECK_SECONDS = 30.0

_COOKIE = re.compile(rf'(?:^|[;\s]){COOKIE_NAME}="?([A-Za-z0-9_-]{{40,80}})"?(?=[;\s]|$)')
# More cookies of one name come from somebody who plays with them.
_MAX_COOKIES = 4
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)
# No backslash, which browsers take for a slash, and nothing that they drop: it is a path of ours.
_LOCAL = re.compile(r"/(?!/)[\x21-\x5b\x5d-\x7e]*")
_SAME_PAGE = frozenset({"same-origin", "none"})


class Reader(enum.StrEnum):
    """Who reads. Without a password everybody is `public`, the operator too."""

    PUBLIC = "public"
    SHARED = "shared"
    """Whoever has a share link: reads everything, administers nothing."""
    MACHINE = "machine"
    """A program with a token of the operator's: as `owner`, but administers nothing."""
    OWNER = "owner"
    """Whoever knows the password."""

    @property
    def is_trusted(self) -> bool:
        """Whether it is the operator, or a program of theirs, and nobody whom a link was sent."""
        return self in {Reader.MACHINE, Reader.OWNER}


@dataclass(frozen=True, slots=True)
class Access:
    """What is asked for who may read; no password: nobody is asked."""

    grants: Grants
    password: Password | None = None


def reader(request: web.Request) -> Reader:
    """Return who reads; `public` where no password is set and on routes that are open to all."""
    found: Reader = request.get(READER, Reader.PUBLIC)
    return found


def least_visitors(request: web.Request) -> int:
    """Return how many visitors a row of a list has at least: the operator sees small groups too."""
    return 1 if reader(request).is_trusted else request.app[CONFIG].min_group


@web.middleware
async def protect(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let only those through who may read; pages lead to the login, all else is answered 401."""
    app, match = request.app, request.match_info
    if app[ACCESS].password is None:
        return await handler(request)
    if match.http_exception is not None or match.handler in app[OPENED]:
        return await handler(request)
    try:
        request[READER] = await admit(request)
    except LoginRequired:
        if not _is_navigation(request):
            raise
        return web.Response(status=303, headers={"Location": login_address(request.path_qs)})
    return await handler(request)


async def admit(request: web.Request) -> Reader:
    """Return who reads, by token or cookie; raises `LoginRequired` and `StorageUnavailable`."""
    app = request.app
    access, now = app[ACCESS], app[CLOCK]()
    if access.password is None:
        return Reader.PUBLIC
    bearer = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    if bearer is not None:
        if await access.grants.find(Kind.TOKEN, bearer[1]) is None:
            raise _refusal(', error="invalid_token"')
        return Reader.MACHINE
    for value in _COOKIE.findall(request.headers.get("Cookie", ""))[:_MAX_COOKIES]:
        if access.password.signed(value, now):
            return Reader.OWNER
        if await access.grants.find(Kind.SHARE, value) is not None:
            return Reader.SHARED
    raise _refusal()


async def is_owner(request: web.Request) -> bool:
    """Say whether the request's cookie is that of somebody who knew the password."""
    try:
        return await admit(request) is Reader.OWNER
    except LoginRequired:
        return False


def check_owner(request: web.Request) -> None:
    """Refuse whoever may read but not administer; raises `Forbidden`."""
    if request.app[ACCESS].password is None:
        message = "Without MAICIVY_DASHBOARD_PASSWORD nobody can be told from anybody else."
        raise Forbidden(message, code="no_password")
    if reader(request) is not Reader.OWNER:
        raise Forbidden("Only who knows the password may do this.", code="read_only")


def check_own_page(request: web.Request) -> None:
    """Refuse what a page of another origin sends; raises `Forbidden`.

    Browsers say in `Sec-Fetch-Site` where a request comes from, over HTTPS and on this machine;
    elsewhere `Origin` has to name this very host. Programs say neither.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        own = site in _SAME_PAGE
    else:
        own = origin is None or _host_of(origin) == request.host.lower()
    if not own:
        raise Forbidden("Pages of another origin may not do this.", code="origin_not_allowed")


def login_address(wanted: str) -> str:
    """Return the address of the login that leads on to a path of ours."""
    return f"{LOGIN}?next={quote(wanted, safe='/')}" if local_path(wanted) == wanted else LOGIN


def local_path(text: str | None) -> str:
    """Return `text` if it is a path of this server's own, else that of the dashboard."""
    fits = text is not None and len(text) <= MAX_NEXT_LENGTH and _LOCAL.fullmatch(text)
    if not fits or text is None or text.partition("?")[0] in {LOGIN, LOGOUT}:
        return HOME
    return text


def login_cookie(value: str, seconds: int, *, secure: bool) -> str:
    """Return the header that gives a browser its login; no seconds have it dropped."""
    end = "; Secure" if secure else ""
    return f"{COOKIE_NAME}={value}; HttpOnly; Max-Age={seconds}; Path=/; SameSite=Lax{end}"


async def while_allowed(request: web.Request) -> None:
    """Return when the reader of a live feed may read no longer; never without a password."""
    while True:
        await asyncio.sleep(RECHECK_SECONDS)
        try:
            await admit(request)
        except LoginRequired:
            return
        except StorageUnavailable:
            continue


def seconds_left(expires_at: dt.datetime | None, now: dt.datetime, most: int) -> int:
    """Return for how long a cookie is given: until the link expires, `most` seconds at most."""
    if expires_at is None:
        return most
    return max(0, min(most, int((expires_at - now).total_seconds())))


def _refusal(more: str = "") -> LoginRequired:
    return LoginRequired(
        "These numbers are behind a password: log in, or send a token.",
        headers={"WWW-Authenticate": f'Bearer realm="maicivy"{more}'},
    )


def _is_navigation(request: web.Request) -> bool:
    """Say whether a person waits for a page."""
    return (
        request.method in {"GET", "HEAD"}
        and not request.path.startswith(("/api/", "/ws/"))
        and "text/html" in request.headers.get("Accept", "")
    )


def keep_private(response: web.StreamResponse) -> None:
    """See that no cache that readers share keeps the answer, which is about to be sent."""
    caching = response.headers.get("Cache-Control")
    if caching is not None and "private" not in caching and "no-store" not in caching:
        response.headers["Cache-Control"] = f"private, {caching.removeprefix('public, ')}"


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
