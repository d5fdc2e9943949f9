"""The shape of every error, and the headers of every answer, whoever gives it."""

from __future__ import annotations

from aiohttp import web


def error_response(
    status: int, message: str, code: str, headers: dict[str, str] | None = None
) -> web.Response:
    """Return an error in the contract's shape."""
    body = {"success": False, "error": message, "code": code}
    return web.json_response(body, status=status, headers=headers)


def put_standard_headers(response: web.StreamResponse) -> None:
    """Put the headers on that every answer has, whoever asks."""
    headers = response.headers
    headers["Server"] = "maicivy"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "strict-origin-when-cross-origin"
    headers["X-Frame-Options"] = "SAMEORIGIN"
    headers["Permissions-Policy"] = "browsing-topics=()"
    if not isinstance(response, web.FileResponse):
        headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
