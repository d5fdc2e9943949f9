"""Pages that were sent ahead of their visitor, who may never come; so they are not counted then.

Whether the visitor came is told by the tracker alone. What is remembered is bounded, in number and
time, and forgotten with the process: then a page that was sent ahead is not counted at all.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING

from maicivy.web.client import client_of

if TYPE_CHECKING:
    from aiohttp import web

    from maicivy.ingest.network import Proxies

MAX_PAGES = 4096
# For so long browsers use what they fetched ahead.
KEPT_SECONDS = 300.0
KEY_BYTES = 16


def is_ahead(request: web.Request) -> bool:
    """Say whether a browser asks for what its user may want to see next."""
    headers = request.headers
    return "prefetch" in headers.get("Sec-Purpose", "") or "prefetch" in headers.get("Purpose", "")


class Ahead:
    """Which pages were sent ahead, and to whom, as hashes."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._secret = os.urandom(KEY_BYTES)
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def note(self, request: web.Request) -> None:
        """Remember that the page that `request` asks for is sent ahead."""
        key = self._key(request, request.path)
        self._until[key] = time.monotonic() + KEPT_SECONDS
        self._until.move_to_end(key)
        if len(self._until) > MAX_PAGES:
            self._until.popitem(last=False)

    def take(self, request: web.Request, path: str) -> bool:
        """Forget the page at `path`; say whether it was sent ahead to whoever sends `request`."""
        if not self._until:
            return False
        until = self._until.pop(self._key(request, path), 0.0)
        return time.monotonic() < until

    def _key(self, request: web.Request, path: str) -> bytes:
        client = client_of(request, self._proxies)
        text = f"{client.user_agent}\x00{path}".encode(errors="replace")
        whole = client.address + b"\x00" + text
        return blake2b(whole, digest_size=KEY_BYTES, key=self._secret).digest()
