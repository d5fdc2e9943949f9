"""The baselines, each a program of its own: `python -m bench.baseline bare|single port folder`.

`bare` parses the body of an event and answers what maicivy answers, and does nothing else, on the
same event loop. `single` stores the same rows with the same statement, in one transaction for each
request, through ten connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from aiohttp import web

from maicivy import embedded, loop
from maicivy.config import QUERY_PARAMETERS, UTC, Config
from maicivy.ingest.batch import batch_arguments
from maicivy.ingest.event import check_fields, make_event
from maicivy.ingest.urls import QueryParameters
from maicivy.ingest.visitor import Visitor
from maicivy.metrics import Metrics
from maicivy.periods import Moment, utc_now
from maicivy.storage.queries import load_queries
from maicivy.storage.stores import open_stores
from maicivy.web.answers import JSON
from maicivy.web.collect import TRACKED
from maicivy.web.routes import EVENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CONNECTIONS = 10

try:
    from orjson import loads
except ImportError:
    from json import loads  # type: ignore[assignment]


def _tracked() -> web.Response:
    return web.Response(body=TRACKED, status=201, headers={"Content-Type": JSON})


async def post_bare(request: web.Request) -> web.Response:
    """Answer an event without keeping it."""
    loads(await request.read())
    return _tracked()


def post_single(pool: Any) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return what stores each event by itself."""
    statement, parameters = load_queries()["insert_batch"], QueryParameters.of(QUERY_PARAMETERS)

    async def post(request: web.Request) -> web.Response:
        fields = check_fields(json.loads(await request.read()), parameters)
        sender = request.headers.get("X-Forwarded-For", "")
        who = str(uuid.uuid5(uuid.NAMESPACE_DNS, sender))
        visitor = Visitor(who, who, "0" * 64, "Chrome", "Windows", "desktop", "fr")
        event = make_event(fields, visitor, Moment.of(utc_now(), UTC))
        async with pool.acquire() as connection:
            await connection.fetch(statement, *batch_arguments([event]))
        return _tracked()

    return post


async def serve(handler: Callable[[web.Request], Awaitable[web.Response]], port: int) -> None:
    """Serve one handler for good."""
    app = web.Application()
    app.router.add_post(EVENT, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def _serve_single(database_url: str, redis_url: str, port: int) -> None:
    async with open_stores(Config(), database_url, redis_url, Metrics(), utc_now) as stores:
        await stores.partitions.ensure_ahead(utc_now())
    pool = await asyncpg.create_pool(database_url, min_size=CONNECTIONS, max_size=CONNECTIONS)
    await serve(post_single(pool), port)


def main(kind: str, port: int, folder: Path) -> None:
    """Run one of the baselines."""
    with contextlib.suppress(KeyboardInterrupt):
        if kind == "bare":
            loop.run(serve(post_bare, port))
            return
        with embedded.start(folder, postgres=True, redis=True) as servers:
            loop.run(_serve_single(servers.database_url or "", servers.redis_url or "", port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
