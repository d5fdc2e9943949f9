"""Answers that are shared as ready bytes, head and all: what many ask for costs one write each.

The first plain request for an answer is served as usual, and its head is kept as it was then sent,
so that headers have one author (`middleware.guard`). An answer lives for a second at most, and so
does the `Date` of its head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, web

from maicivy.web.negotiation import has_already

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from maicivy.reports.answers import Answer

# May be kept, and is asked for again before it is used: each can change at any time.
REVALIDATED = "no-cache"
JSON = "application/json; charset=utf-8"


def report(request: web.Request, answer: Answer, content_type: str = JSON) -> web.StreamResponse:
    """Return an answer with its `ETag`, or 304 to whoever has it already."""
    headers = request.headers
    if _is_plain(request):
        ready = answer.ready
        return ready if isinstance(ready, Ready) else _First(answer, content_type)
    if "If-None-Match" in headers and has_already(request, answer.etag):
        return web.Response(status=304, headers=_headers(answer))
    return web.Response(body=answer.body, headers=_headers(answer) | {"Content-Type": content_type})


class Ready(web.StreamResponse):
    """A whole answer as bytes; one object may serve any number of plain requests.

    A client that does not read is waited for, as with any other answer.
    """

    def __init__(self, whole: bytes) -> None:
        super().__init__()
        self._whole = whole

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays open; those of plain requests do."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Send everything."""
        await request.writer.write_eof(self._whole)
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: everything is sent."""


class _First(web.Response):
    """The first answer to a plain request, whose head is kept for the others."""

    def __init__(self, answer: Answer, content_type: str) -> None:
        headers = _headers(answer) | {"Content-Type": content_type}
        super().__init__(body=answer.body, headers=headers)
        self._answer = answer

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Go the usual way, after which the headers are all there and checked."""
        writer = await super().prepare(request)
        lines = [f"HTTP/1.1 {self.status} {self.reason}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode()
        self._answer.ready = Ready(head + self._answer.body)
        return writer


def _headers(answer: Answer) -> dict[str, str]:
    return {"ETag": answer.etag, "Cache-Control": REVALIDATED}


def _is_plain(request: web.Request) -> bool:
    """Say whether the answer's head depends on the answer alone."""
    headers = request.headers
    return (
        request.method == "GET"
        and request.version == HttpVersion11
        and request.keep_alive
        and not request.secure
        and "Origin" not in headers
        and "If-None-Match" not in headers
        and "X-Forwarded-Proto" not in headers
    )
