"""The library's client for Redis, with bounds."""

from __future__ import annotations

from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from maicivy.errors import OperatorError

HOT_TIMEOUT_SECONDS = 0.25
MAX_CONNECTIONS = 64


def connect(url: str, timeout_seconds: float) -> redis.asyncio.Redis:
    """Return a client for `url` that never retries by itself and never waits unbounded."""
    try:
        pool: Any = redis.asyncio.ConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # spoken by every Redis; the third costs a greeting on each connection
        )
    except ValueError as error:
        raise OperatorError(f"REDIS_URL cannot be used: {error}.") from None
    return redis.asyncio.Redis.from_pool(pool)
