"""One client's places in a minute, and the headers that tell of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from maicivy.errors import RateLimited
from maicivy.ingest.limiter import WINDOW_SECONDS
from maicivy.ingest.visitor import limiter_id
from maicivy.web.keys import EXTRA_HEADERS, LIMITER

if TYPE_CHECKING:
    from aiohttp import web

    from maicivy.ingest.identity import ClientRequest
    from maicivy.storage.places import Allowance


async def check_rate(request: web.Request, client: ClientRequest, address_key: bytes) -> None:
    """Take a place for the client, whom the key of the day hides; raises `RateLimited`."""
    limiter = request.app[LIMITER]
    if not limiter.limit:
        return
    allowance = await limiter.take(limiter_id(address_key, client.address))
    request[EXTRA_HEADERS] = headers = rate_headers(allowance, limiter.limit)
    if not allowance.allowed:
        raise RateLimited(
            f"More than {limiter.limit} requests in a minute; try again later.",
            headers={"Retry-After": headers["X-RateLimit-Reset"]},
        )


def rate_headers(allowance: Allowance, limit: int) -> dict[str, str]:
    """Return the state of the rate limit as headers.

    The first two as in the IETF draft "RateLimit header fields for HTTP"; `X-RateLimit-Reset` is
    in seconds from now, like `Retry-After`.
    """
    reset = str(max(1, math.ceil(allowance.reset_seconds)))
    return {
        "RateLimit-Policy": f'"event";q={limit};w={WINDOW_SECONDS}',
        "RateLimit": f'"event";r={allowance.remaining};t={reset}',
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(allowance.remaining),
        "X-RateLimit-Reset": reset,
    }
