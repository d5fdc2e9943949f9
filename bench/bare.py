"""The baselines, as programs of their own: `python -m bench.bare bare|single port [database URL]`.

`bare` parses the body of an event and answers what maicivy answers, and does nothing else.
`single` stores each event in one transaction of its own before it answers.
"""

from __future__ import annotations

import asyncio
import json
import sys

from aiohttp import web

ANSWER = b'{"success": true, "message": "Event tracked successfully"}'

try:
    import orjson
    import uvloop

    run, loads = uvloop.run, orjson.loads
except ImportError:
    run, loads = asyncio.run, json.loads


async def post_bare(request):
    loads(await request.read())
    return web.Response(body=ANSWER, status=201, content_type="application/json", charset="utf-8")


async def main(port):
    app = web.Application()
    app.router.add_post("/api/v1/analytics/event", post_bare)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    run(main(int(sys.argv[2])))
