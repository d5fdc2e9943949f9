"""Share links, for whoever knows the password; and who a reader is."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from maicivy.errors import Conflict, GrantRefused, InvalidRequest, NotFound, UnsupportedMediaType
from maicivy.ingest.body import parse_object
from maicivy.periods import format_instant
from maicivy.storage.grants import MAX_DAYS, MAX_NAME_LENGTH, Kind, is_label, is_view
from maicivy.web.access import check_own_page, check_owner, reader
from maicivy.web.answers import json_response
from maicivy.web.client import is_https
from maicivy.web.keys import ACCESS, INTAKE, PROXIES

if TYPE_CHECKING:
    from aiohttp import web

    from maicivy.storage.grants import Grant

JSON_TYPE = "application/json"
MAX_BODY_BYTES = 16 * 1024
USUAL_DAYS = 7

_UNKEPT = {"Cache-Control": "no-store"}


async def get_reader(request: web.Request) -> web.Response:
    """Answer `GET /reader`: as whom this request reads."""
    has_password = request.app[ACCESS].password is not None
    return _answer({"reader": reader(request).value, "password": has_password})


async def get_shares(request: web.Request) -> web.Response:
    """Answer `GET /shares`: the links that are good, newest first, without their secrets."""
    check_owner(request)
    shares = await request.app[ACCESS].grants.listed(Kind.SHARE)
    return _answer([_fields(share) for share in shares])


async def post_shares(request: web.Request) -> web.Response:
    """Answer `POST /shares`: a new link, told once."""
    check_owner(request)
    check_own_page(request)
    if request.content_type != JSON_TYPE:
        raise UnsupportedMediaType(f"Send the share link as {JSON_TYPE}.")
    body = parse_object(await request.app[INTAKE].read_body(request, MAX_BODY_BYTES))
    days, name, view = _days(body), _name(body), _view(body)
    try:
        share, secret = await request.app[ACCESS].grants.create(
            Kind.SHARE, name=name, view=view, days=days
        )
    except GrantRefused as error:
        raise Conflict(str(error), code="too_many_shares") from None
    scheme = "https" if is_https(request, request.app[PROXIES]) else "http"
    url = f"{scheme}://{request.host}/share/{secret}"
    return _answer({**_fields(share), "url": url}, 201)


async def delete_share(request: web.Request) -> web.Response:
    """Answer `DELETE /shares/…`: the link and the sessions it gave are over."""
    check_owner(request)
    check_own_page(request)
    try:
        identity = uuid.UUID(request.match_info["id"])
    except ValueError:
        identity = None
    if identity is None or not await request.app[ACCESS].grants.revoke(Kind.SHARE, identity):
        raise NotFound("There is no such share link.")
    return _answer({"revoked": str(identity)})


def _days(body: dict[str, Any]) -> int:
    days = body.get("days", USUAL_DAYS)
    if isinstance(days, float) and days.is_integer():
        days = int(days)  # to JSON, 7.0 is an integer
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= MAX_DAYS:
        raise _invalid("days", f"must be a whole number from 1 to {MAX_DAYS}")
    return days


def _name(body: dict[str, Any]) -> str:
    name = body.get("name")
    if name is None:
        return ""
    if not isinstance(name, str) or not is_label(name):
        rule = f"must be at most {MAX_NAME_LENGTH} characters without control ones"
        raise _invalid("name", rule)
    return name


def _view(body: dict[str, Any]) -> str:
    view = body.get("view")
    if view is None:
        return ""
    if not isinstance(view, str) or not is_view(view):
        raise _invalid("view", "must be a query of the dashboard, such as period=7d")
    return view


def _invalid(name: str, rule: str) -> InvalidRequest:
    return InvalidRequest(f"The field {name} {rule}.", code="invalid_field")


def _fields(share: Grant) -> dict[str, Any]:
    return {
        "id": str(share.id),
        "name": share.name,
        "view": share.view,
        "created_at": format_instant(share.created_at),
        "expires_at": format_instant(share.expires_at) if share.expires_at else None,
        "last_used_at": format_instant(share.last_used_at) if share.last_used_at else None,
    }


def _answer(data: Any, status: int = 200) -> web.Response:
    return json_response({"success": True, "data": data}, status, _UNKEPT)
