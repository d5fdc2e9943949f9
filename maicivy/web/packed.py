"""The program's own files, compressed: each once, kept in memory until it changes."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from maicivy.web.negotiation import has_already, takes_gzip

if TYPE_CHECKING:
    from pathlib import Path

# Less is not worth a header.
MIN_BYTES = 512
LEVEL = 9
_WORTHWHILE = frozenset({".css", ".html", ".js", ".json", ".svg", ".txt"})


@dataclass(frozen=True, slots=True)
class _Kept:
    tag: str
    body: bytes


class Packed:
    """Gzipped files. Only for files of the program's own, whose number bounds what is kept."""

    def __init__(self) -> None:
        self._kept: dict[Path, _Kept] = {}
        # One is compressed at a time, however many ask for it.
        self._lock = asyncio.Lock()

    async def pack(
        self, request: web.Request, response: web.FileResponse, file: Path
    ) -> web.Response | None:
        """Return `response`, which serves `file`, compressed, or 304; None where that is of no use.

        The headers are those of `response`.
        """
        response.headers[hdrs.VARY] = "Accept-Encoding"
        if file.suffix.lower() not in _WORTHWHILE or not takes_gzip(request):
            return None
        kept = await self._find(file)
        if len(kept.body) < MIN_BYTES:
            return None
        etag = f'"{kept.tag}"'
        headers = dict(response.headers) | {hdrs.ETAG: etag}
        if has_already(request, etag):
            del headers[hdrs.CONTENT_TYPE]
            return web.Response(status=304, headers=headers)
        return web.Response(body=kept.body, headers=headers | {hdrs.CONTENT_ENCODING: "gzip"})

    async def _find(self, file: Path) -> _Kept:
        async with self._lock:
            kept = await asyncio.to_thread(_renewed, self._kept.get(file), file)
            self._kept[file] = kept
        return kept


def _renewed(kept: _Kept | None, file: Path) -> _Kept:
    status = file.stat()
    tag = f"{status.st_mtime_ns:x}-{status.st_size:x}-gzip"
    if kept is not None and kept.tag == tag:
        return kept
    return _Kept(tag, gzip.compress(file.read_bytes(), LEVEL, mtime=0))
