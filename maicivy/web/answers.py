"""The shape of every error, and the headers of every answer, whoever gives it."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from multidict import istr

from maicivy.jsontext import encode

JSON = "application/json; charset=utf-8"
# Names of headers that are made once need no folding of case each time.
_POLICY = istr("Content-Security-Policy")
_STANDARD = {
    istr("Server"): "maicivy",
    istr("X-Content-Type-Options"): "nosniff",
    istr("Referrer-Policy"): "strict-origin-when-cross-origin",
    istr("X-Frame-Options"): "SAMEORIGIN",
    istr("Permissions-Policy"): "browsing-topics=()",
}
_JSON_HEADERS = {"Content-Type": JSON}


def error_response(
    status: int, message: str, code: str, headers: dict[str, str] | None = None
) -> web.Response:
    """Return an error in the contract's shape."""
    body = {"success": False, "error": message, "code": code}
    return json_response(body, status=status, headers=headers)


def json_response(
    body: Any, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Return an answer of JSON; `body` may be its bytes already."""
    return web.Response(
        body=body if isinstance(body, bytes) else encode(body),
        status=status,
        headers={"Content-Type": JSON, **headers} if headers else _JSON_HEADERS,
    )


def put_standard_headers(response: web.StreamResponse) -> None:
    """Put the headers on that every answer has, whoever asks."""
    headers = response.headers
    headers.update(_STANDARD)
    if not isinstance(response, web.FileResponse):
        headers.setdefault(_POLICY, "default-src 'none'; frame-ancestors 'none'")
