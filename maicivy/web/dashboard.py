"""`/dashboard`: a page of files, told what only the server knows."""

from __future__ import annotations

import functools
import gzip
import html
import json
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from maicivy.web.access import Reader, reader
from maicivy.web.files import STATIC_FOLDER
from maicivy.web.keys import CLOCK, CONFIG
from maicivy.web.negotiation import takes_gzip

if TYPE_CHECKING:
    from maicivy.config import Config

# As strict as that of the other pages; the click map shows pages of the site, without their
# scripts, in a frame that takes over this policy.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; frame-src 'self'; base-uri 'self'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_PLACE = "{{settings}}"
_LEVEL = 6


async def get_dashboard(request: web.Request) -> web.Response:
    """Answer `GET /dashboard`."""
    config = request.app[CONFIG]
    now = int(request.app[CLOCK]().timestamp() * 1000)
    told = _settings(config, now) | {"owner": reader(request) is Reader.OWNER}
    page = _page().replace(_PLACE, html.escape(json.dumps(told))).encode()
    headers = {
        hdrs.CONTENT_TYPE: "text/html; charset=utf-8",
        hdrs.CACHE_CONTROL: "no-store",
        hdrs.VARY: "Accept-Encoding",
        "Content-Security-Policy": POLICY,
    }
    if takes_gzip(request):
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        page = gzip.compress(page, _LEVEL, mtime=0)
    return web.Response(body=page, headers=headers)


def _settings(config: Config, now: int) -> dict[str, object]:
    """Return what the page has to know: `now` in milliseconds, `zone` by its name."""
    return {
        "now": now,
        "zone": config.timezone.key,
        "script": config.tracker_path,
        "served": config.site_dir is not None,
    }


@functools.cache
def _page() -> str:
    return (STATIC_FOLDER / "dashboard" / "index.html").read_text(encoding="utf-8")
