"""The Pub/Sub connection: messages in, and a tick of our own that proves it is alive."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Any, TypeAlias

from redis.exceptions import RedisError

from maicivy.errors import StorageUnavailable
from maicivy.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import redis.asyncio

TICK_SECONDS = 2.0
MISSES = 2
POLL_SECONDS = 1.0
BURST = 500

# For those who hand a client over and have no business with the library itself.
RedisClient: TypeAlias = "redis.asyncio.Redis"

log = logging.getLogger(__name__)


async def listen(
    client: redis.asyncio.Redis, deliver: Callable[[Sequence[str]], None], ready: asyncio.Event
) -> None:
    """Hand every message of the live channel to `deliver`; `ready` is set while subscribed.

    A half-open connection delivers nothing and reports nothing, so a tick is sent through the
    same connection's own channel; after two that do not come back, or any other failure,
    `StorageUnavailable` is raised and the caller subscribes anew.
    """
    tick_channel = f"{keys.TICK}{secrets.token_hex(8)}"
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    try:
        async with asyncio.timeout(5):
            await pubsub.subscribe(keys.CHANNEL, tick_channel)
        await _relay(client, pubsub, tick_channel, deliver, ready)
    except (RedisError, OSError, TimeoutError) as error:
        raise StorageUnavailable(type(error).__name__) from error
    finally:
        ready.clear()
        await _close(pubsub)


async def _relay(
    client: redis.asyncio.Redis,
    pubsub: Any,
    tick_channel: str,
    deliver: Callable[[Sequence[str]], None],
    ready: asyncio.Event,
) -> None:
    loop = asyncio.get_running_loop()
    heard_at = loop.time()
    ticked_at = -TICK_SECONDS
    while loop.time() - heard_at <= TICK_SECONDS * (MISSES + 0.5):
        if loop.time() - ticked_at >= TICK_SECONDS:
            await client.publish(tick_channel, b"")
            ticked_at = loop.time()
        messages = await _burst(pubsub)
        if any(message["channel"] == tick_channel.encode() for message in messages):
            heard_at = loop.time()
            ready.set()
        live = [m["data"].decode() for m in messages if m["channel"] == keys.CHANNEL.encode()]
        if live:
            heard_at = loop.time()
            deliver(live)
    raise TimeoutError


async def _burst(pubsub: Any) -> list[dict[str, Any]]:
    """Wait up to a second for a message, then take what else is there already."""
    messages: list[dict[str, Any]] = []
    timeout = POLL_SECONDS
    while len(messages) < BURST:
        message = await pubsub.get_message(timeout=timeout)
        if message is None:
            break
        messages.append(message)
        timeout = 0.0
    return messages


async def _close(pubsub: Any) -> None:
    try:
        async with asyncio.timeout(1):
            await pubsub.aclose()
    except (RedisError, OSError, TimeoutError):
        log.debug("the Pub/Sub connection was gone already")
