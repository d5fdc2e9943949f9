"""Logging in and out, and following a share link."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from aiohttp import web

from maicivy.errors import (
    ApiError,
    InvalidRequest,
    RateLimited,
    StorageUnavailable,
    Unavailable,
    UnsupportedMediaType,
)
from maicivy.ingest.visitor import limiter_id
from maicivy.periods import local_day
from maicivy.storage.grants import Kind
from maicivy.web import params
from maicivy.web.access import (
    HOME,
    LOGIN,
    check_own_page,
    is_owner,
    local_path,
    login_cookie,
    seconds_left,
)
from maicivy.web.client import client_of, is_https
from maicivy.web.keys import (
    ACCESS,
    ADDRESSES,
    CLOCK,
    CONFIG,
    INTAKE,
    LOGIN_LIMITER,
    LOGINS_LIMITER,
    PROXIES,
    UNCOUNTED,
)
from maicivy.web.login_page import POLICY, gone_page, language_of, login_page
from maicivy.web.password import SESSION_SECONDS
from maicivy.web.rate import check_rate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maicivy.errors import MaicivyError
    from maicivy.web.password import Password

log = logging.getLogger(__name__)

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FORM_BYTES = 8 * 1024
MAX_FIELDS = 10
CLIENT_ATTEMPTS = 10
ALL_ATTEMPTS = 100

_UNKEPT = {"Cache-Control": "no-store", "Vary": "Accept-Language"}


async def get_login(request: web.Request) -> web.Response:
    """Answer `GET /login`: the form, or what it leads to for who is logged in."""
    wanted = local_path(params.single(request, "next"))
    if await is_owner(request):
        return _lead(wanted)
    return _page(request, 200, login_page(_language(request), wanted))


async def post_login(request: web.Request) -> web.Response:
    """Answer `POST /login`: a session for who knows the password, else the form again."""
    check_own_page(request)
    form = await _form(request)
    wanted = local_path(form.get("next"))
    try:
        await _take_a_place(request)
        known = await _knows(request, form.get("password", ""))
    except RateLimited as error:
        return _again(request, wanted, "many", error)
    except (Unavailable, StorageUnavailable) as error:
        return _again(request, wanted, "busy", error)
    if not known:
        log.warning("a wrong password was given")
        return _page(request, 403, login_page(_language(request), wanted, "wrong"))
    log.info("somebody logged in")
    session = _password_of(request).session(request.app[CLOCK]())
    return _lead(wanted, _cookie(request, session, SESSION_SECONDS))


async def post_logout(request: web.Request) -> web.Response:
    """Answer `POST /logout`: the browser forgets its login, or its share link."""
    check_own_page(request)
    return _lead(LOGIN, _cookie(request, "", 0))


async def get_share(request: web.Request) -> web.Response:
    """Answer `GET /share/…`: a session that reads as long as the link is good.

    Who is logged in stays so. Without a password there is nothing to open.
    """
    access, secret = request.app[ACCESS], request.match_info["secret"]
    share = await access.grants.find(Kind.SHARE, secret)
    if share is None:
        has_login = access.password is not None
        return _page(request, 404, gone_page(_language(request), login=has_login))
    address = f"{HOME}?{share.view}" if share.view else HOME
    if access.password is None or await is_owner(request):
        return _lead(address)
    seconds = seconds_left(share.expires_at, request.app[CLOCK](), SESSION_SECONDS)
    return _lead(address, _cookie(request, secret, seconds))


async def _take_a_place(request: web.Request) -> None:
    """Take one of the client's attempts, then one of everybody's; raises `RateLimited`."""
    app = request.app
    address_key = await app[ADDRESSES].load(local_day(app[CLOCK](), app[CONFIG].timezone))
    client = limiter_id(address_key, client_of(request, app[PROXIES]).address)
    await check_rate({}, app[LOGIN_LIMITER], f"login:{client}")
    await check_rate({}, app[LOGINS_LIMITER], "logins")


async def _knows(request: web.Request, given: str) -> bool:
    return bool(given) and await _password_of(request).matches(given)


def _password_of(request: web.Request) -> Password:
    password = request.app[ACCESS].password
    if password is None:
        raise web.HTTPNotFound
    return password


async def _form(request: web.Request) -> Mapping[str, str]:
    """Return the fields of the form; raises `InvalidRequest` and what reading a body raises."""
    if request.content_type != FORM_TYPE:
        raise UnsupportedMediaType(f"Send the form as {FORM_TYPE}.")
    body = await request.app[INTAKE].read_body(request, MAX_FORM_BYTES, {FORM_TYPE})
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise InvalidRequest("The form cannot be read.", code="invalid_form") from None
    return {name: values[0] for name, values in fields.items()}


def _language(request: web.Request) -> str:
    return language_of(request.headers.get("Accept-Language", ""))


def _again(request: web.Request, wanted: str, problem: str, error: MaicivyError) -> web.Response:
    """Return the form once more, with what an error says of its status and headers."""
    told = error if isinstance(error, ApiError) else Unavailable("")
    page = login_page(_language(request), wanted, problem)
    return _page(request, told.status, page, told.headers)


def _page(
    request: web.Request, status: int, text: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    request[UNCOUNTED] = True
    own = {"Content-Security-Policy": POLICY, **_UNKEPT, **(headers or {})}
    return web.Response(text=text, status=status, content_type="text/html", headers=own)


def _lead(address: str, cookie: str | None = None) -> web.Response:
    headers = {"Location": address, "Cache-Control": "no-store"}
    if cookie is not None:
        headers["Set-Cookie"] = cookie
    return web.Response(status=303, headers=headers)


def _cookie(request: web.Request, value: str, seconds: int) -> str:
    return login_cookie(value, seconds, secure=is_https(request, request.app[PROXIES]))
