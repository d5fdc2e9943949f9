"""A site of somebody else's, on a port of its own, with the tracker on every page."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Client

PAGE = """\
<!doctype html><html lang="en"><meta charset="utf-8"><title>Shop</title>
<link rel="icon" href="data:,">
<script src="/shop.js"></script>
<script defer src="{script}" {options}></script>
<body style="margin: 0">
<h1>Shop</h1>
<p><button id="buy" data-maicivy-event="signup" data-maicivy-plan="pro" data-other="x">Buy</button>
<button id="route">Route</button>
<p><a id="out" href="https://other.example/elsewhere?q=1#z">Elsewhere</a>
<a id="in" href="/inside">Inside</a> <a id="mail" href="mailto:someone@example.org">Mail</a>
<a id="pdf" href="/files/terms.PDF?v=2">Terms</a> <a id="zip" href="/files/all.zip">All</a>
<form id="order" data-maicivy-event="order" data-maicivy-kind="big"><input name="id" value="1">
<button id="send">Order</button></form>
"""
SCRIPT = """\
window.maicivy = window.maicivy || function () { (maicivy.q = maicivy.q || []).push(arguments) };
maicivy("early", { n: 1 });
addEventListener("DOMContentLoaded", () => {
  const stay = (event) => event.preventDefault();
  for (const id of ["out", "in", "mail"])
    for (const kind of ["click", "auxclick"])
      document.getElementById(id).addEventListener(kind, stay);
  document.getElementById("order").addEventListener("submit", stay);
  document.getElementById("route").addEventListener("click", (event) => {
    event.stopPropagation();
    history.pushState(null, "", "/item?utm_source=mail&id=7");
  });
});
"""


class Shop:
    """The site; `policy` says what its pages may load and call.

    `sibling` is another origin of it, which is the same site as the server's.
    """

    def __init__(self) -> None:
        self.script = ""
        self.options = ""
        self.policy = ""
        self.page = PAGE

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Shop]:
        app = web.Application()
        app.router.add_get("/shop.js", self._script)
        app.router.add_get("/files/{name}", self._file)
        app.router.add_get("/{path:.*}", self._page)
        async with TestServer(app) as server:
            self.origin = f"http://localhost:{server.port}"
            self.sibling = f"http://{server.host}:{server.port}"
            yield self

    def use(self, script: str, options: str = "") -> None:
        self.script, self.options = script, options
        origin = script.partition("/maicivy")[0]
        self.policy = (
            f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
            f"script-src 'self' {origin}; connect-src {origin}"
        )

    async def _page(self, _: web.Request) -> web.Response:
        text = self.page
        if text is PAGE:
            text = PAGE.format(script=self.script, options=self.options)
        headers = {"Content-Security-Policy": self.policy}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def _script(self, _: web.Request) -> web.Response:
        return web.Response(text=SCRIPT, content_type="text/javascript")

    async def _file(self, _: web.Request) -> web.Response:
        return web.Response(body=b"-", headers={"Content-Disposition": "attachment"})


class Relay:
    """A way to the server that can be cut, and can lose what the server answers."""

    def __init__(self, client: Client) -> None:
        self._target = client.host, client.port
        self.port = unused_port()
        self.is_deaf = False
        self.lost = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def down(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection(*self._target)
            self._writers |= {writer, back}
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(
                    self._pass(reader, back), self._pass(there, writer, answers=True)
                )
            self._writers -= {writer, back}
            back.close()
        writer.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if answers and self.is_deaf:
                    self.lost += 1
                    break
                writer.write(data)
                await writer.drain()
        for one in list(self._writers):
            if one is writer:
                one.transport.abort()
