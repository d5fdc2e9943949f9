"""The tracker: the script as it is served, and what the server knows of its page views already."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from aiohttp import web

from maicivy.ingest.event import MAX_URL_LENGTH, PAGE_LOAD, PAGE_VIEW
from maicivy.ingest.pages import UNTRACKED
from maicivy.web.files import STATIC_FOLDER, content_type_of, find_file
from maicivy.web.keys import AHEAD, CONFIG, TRACKER
from maicivy.web.middleware import ANALYTICS
from maicivy.web.negotiation import has_already, takes_gzip

if TYPE_CHECKING:
    from pathlib import Path

    from maicivy.config import Config

FILE = STATIC_FOLDER / "tracker" / "maicivy.js"
EVENTS = f"{ANALYTICS}/events"
# Short, because its address stays the same when it changes.
KEPT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Tracker:
    """The script's bytes, plain and packed, and the headers of every answer."""

    plain: bytes
    packed: bytes
    headers: dict[str, str]

    @classmethod
    def of(cls, config: Config) -> Tracker:
        """Return the script that sends where `config` says."""
        script = FILE.read_text(encoding="utf-8")
        plain = script.replace(EVENTS, config.collect_path or EVENTS).encode()
        headers = {
            "Content-Type": "text/javascript; charset=utf-8",
            "Cache-Control": f"public, max-age={KEPT_SECONDS}",
            "ETag": f'W/"{hashlib.sha256(plain).hexdigest()[:16]}"',
            # any site loads it, pages that let in only what allows it or check its hash too
            "Cross-Origin-Resource-Policy": "cross-origin",
            "Access-Control-Allow-Origin": "*",
            "Vary": "Accept-Encoding",
        }
        return cls(plain, gzip.compress(plain, mtime=0), headers)


async def get_tracker(request: web.Request) -> web.Response:
    """Answer with the script, or 304 to whoever has it already."""
    tracker = request.app[TRACKER]
    if has_already(request, tracker.headers["ETag"]):
        return web.Response(status=304, headers=tracker.headers)
    if takes_gzip(request):
        headers = tracker.headers | {"Content-Encoding": "gzip"}
        return web.Response(body=tracker.packed, headers=headers)
    return web.Response(body=tracker.plain, headers=tracker.headers)


def counted_load(request: web.Request, events: list[Any]) -> int | None:
    """Return which of `events` is the view of a page that this server counted as it served it.

    The tracker says `page_load` for the first view of a document that it found in its place. If the
    document is one of `MAICIVY_SITE_DIR`, under the name that is asked now, and was not sent ahead,
    it was counted. A document is loaded once, so no sender has us look for more than one file.
    """
    folder = request.app[CONFIG].site_dir
    if folder is None:
        return None
    for index, event in enumerate(events):
        kind = event.get("event_type") if isinstance(event, dict) else None
        if kind in (PAGE_LOAD, PAGE_VIEW):
            path = _own_path(request, event.get("page_url"))
            # also for a page_view: one that was drawn ahead is told as such
            is_ahead = path is not None and request.app[AHEAD].take(request, path)
            is_counted = kind == PAGE_LOAD and not is_ahead and _is_page(folder, path)
            return index if is_counted else None
    return None


def _own_path(request: web.Request, url: Any) -> str | None:
    try:
        parts = urlsplit(url) if isinstance(url, str) and len(url) <= MAX_URL_LENGTH else None
    except ValueError:
        parts = None
    if parts is None or parts.netloc.lower() not in {"", request.host.lower()}:
        return None
    return unquote(parts.path, errors="replace")


def _is_page(folder: Path, path: str | None) -> bool:
    if path is None or UNTRACKED.match(path):
        return False
    file = find_file(folder, path)
    return file is not None and content_type_of(file).startswith("text/html")
