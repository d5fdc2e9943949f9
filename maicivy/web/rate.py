"""One client's places in a minute, and the headers that tell of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from maicivy.errors import RateLimited
from maicivy.ingest.limiter import WINDOW_SECONDS
from maicivy.web.keys import EXTRA_HEADERS

if TYPE_CHECKING:
    from aiohttp import web

    from maicivy.ingest.limiter import RateLimiter
    from maicivy.storage.places import Allowance


async def check_rate(
    request: web.Request, limiter: RateLimiter, client: str, weight: int = 1
) -> None:
    """Take `weight` places for the client, who is known by a hash; raises `RateLimited`."""
    allowance = await limiter.take(client, weight)
    request[EXTRA_HEADERS] = headers = rate_headers(allowance, limiter.limit)
    if not allowance.allowed:
        raise RateLimited(
            _sentence(limiter.limit, weight), headers={"Retry-After": headers["X-RateLimit-Reset"]}
        )


def rate_headers(allowance: Allowance, limit: int) -> dict[str, str]:
    """Return the state of the rate limit as headers.

    The first two as in the IETF draft "RateLimit header fields for HTTP"; `X-RateLimit-Reset` is
    in seconds from now, like `Retry-After`.
    """
    remaining, reset = str(allowance.remaining), str(max(1, math.ceil(allowance.reset_seconds)))
    return {
        "RateLimit-Policy": f'"event";q={limit};w={WINDOW_SECONDS}',
        "RateLimit": f'"event";r={remaining};t={reset}',
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": remaining,
        "X-RateLimit-Reset": reset,
    }


def _sentence(limit: int, weight: int) -> str:
    if weight >= limit:
        return f"So many events at once never fit into {limit} requests a minute; send fewer."
    return f"More than {limit} requests in a minute; try again later."
