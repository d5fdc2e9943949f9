"""Files, served safely: nothing outside their folder, nothing hidden, no link that leads out."""

from __future__ import annotations

import asyncio
import mimetypes
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from aiohttp import web

from maicivy.web.keys import PACKED

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

STATIC_FOLDER = Path(__file__).parent / "static"

# Of the program's own pages: the API's reference.
OWN_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGES = ("text/html", "application/xhtml+xml")

# Systems disagree on these, and browsers refuse modules and images of the wrong type.
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".ts": "text/plain",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}


class _File(web.FileResponse):
    """A file that is sent in pieces through the connection's own buffer.

    `sendfile` would send it behind the back of the door, which has to see whether the client reads.
    """

    _opened: IO[Any] | None = None
    _abandoned = False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the file; one that is opened for an answer that is cut off meanwhile is closed."""
        try:
            return await super().prepare(request)
        except asyncio.CancelledError:
            self._abandoned = True
            if self._opened is not None:
                self._opened.close()
            raise

    # Private: aiohttp opens the file in a thread, which goes on when nobody waits for it any more.
    def _make_response(self, request: web.BaseRequest, accept_encoding: str) -> Any:
        made = super()._make_response(request, accept_encoding)
        self._opened = made[1]
        if self._abandoned and self._opened is not None:
            self._opened.close()
        return made

    # Private: aiohttp chooses between the two ways by an environment variable that it reads once.
    async def _sendfile(
        self, request: web.BaseRequest, fobj: IO[Any], offset: int, count: int
    ) -> AbstractStreamWriter:
        writer = await web.StreamResponse.prepare(self, request)
        if writer is None:
            raise ConnectionResetError("Connection lost")
        return await self._sendfile_fallback(writer, fobj, offset, count)


def find_file(folder: Path, path: str) -> Path | None:
    """Return the file that the URL path `path` names in `folder`, or None.

    `/` is `index.html`, `/cv` is `cv.html` or `cv/index.html`. Dot files are never served, and
    what the path leads to, links followed, has to lie inside `folder`.
    """
    parts = [part for part in path.split("/") if part]
    if any(part.startswith(".") or "\\" in part or "\x00" in part for part in parts):
        return None
    root = folder.resolve()
    wanted = root.joinpath(*parts)
    for candidate in (wanted, wanted.with_name(f"{wanted.name}.html"), wanted / "index.html"):
        try:
            file = candidate.resolve(strict=True)
        except (OSError, RuntimeError):
            continue
        if file.is_file() and file.is_relative_to(root):
            return file
    return None


def content_type_of(file: Path) -> str:
    """Return the type that the name of `file` stands for."""
    content_type = _TYPES.get(file.suffix.lower()) or mimetypes.guess_type(file.name)[0]
    return content_type or "application/octet-stream"


def file_response(file: Path, policy: str) -> web.FileResponse:
    """Return `file` with its type; browsers ask each time whether it changed.

    A page may bring its visitor's cookie, so no cache that visitors share may keep it. `policy` is
    the Content-Security-Policy of a page; an empty one is left out.
    """
    content_type = content_type_of(file)
    if content_type.startswith("text/"):
        content_type += "; charset=utf-8"
    caching = "private, no-cache" if content_type.startswith("text/html") else "no-cache"
    headers = {"Content-Type": content_type, "Cache-Control": caching}
    if policy and content_type.startswith(_PAGES):
        headers["Content-Security-Policy"] = policy
    return _File(file, headers=headers)


async def get_static(request: web.Request) -> web.StreamResponse:
    """Answer `GET /static/…` with a file of the program's own."""
    file = find_file(STATIC_FOLDER, request.match_info["path"])
    if file is None:
        raise web.HTTPNotFound
    response = file_response(file, OWN_POLICY)
    return await request.app[PACKED].pack(request, response, file) or response
