"""One client's places in a minute, and the headers that tell of them."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from maicivy.errors import RateLimited
from maicivy.ingest.limiter import WINDOW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maicivy.ingest.limiter import RateLimiter


async def check_rate(
    told: dict[str, str], limiter: RateLimiter, client: str, weight: int = 1
) -> None:
    """Take `weight` places for the client, who is known by a hash; raises `RateLimited`.

    The headers that tell of it are put into `told`, whatever comes of it. There are none when the
    limit is turned off.
    """
    if not limiter.limit:
        return
    allowance = await limiter.take(client, weight)
    reset = max(1, math.ceil(allowance.reset_seconds))
    headers = rate_headers(allowance.remaining, reset, limiter.limit)
    told.update(headers)
    if not allowance.allowed:
        raise RateLimited(
            _sentence(limiter.limit, weight), headers={"Retry-After": headers["X-RateLimit-Reset"]}
        )


@lru_cache(maxsize=8192)
def rate_headers(remaining: int, reset: int, limit: int) -> Mapping[str, str]:
    """Return the state of the rate limit as headers.

    The first two as in the IETF draft "RateLimit header fields for HTTP"; `X-RateLimit-Reset` is
    in seconds from now, like `Retry-After`.
    """
    return {
        "RateLimit-Policy": f'"event";q={limit};w={WINDOW_SECONDS}',
        "RateLimit": f'"event";r={remaining};t={reset}',
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset),
    }


def _sentence(limit: int, weight: int) -> str:
    if weight >= limit:
        return f"So many events at once never fit into {limit} requests a minute; send fewer."
    return f"More than {limit} requests in a minute; try again later."
