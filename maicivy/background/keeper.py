"""Housekeeping between the nightly cleanups: Redis' copy, address keys, partitions ahead."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from maicivy.errors import StorageUnavailable
from maicivy.logs import fields
from maicivy.periods import local_day
from maicivy.storage.event_keys import forget_event_keys

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from maicivy.periods import Clock
    from maicivy.storage.addresses import AddressKeys
    from maicivy.storage.mirror import Mirror
    from maicivy.storage.partitions import Partitions
    from maicivy.storage.postgres import Postgres
    from maicivy.storage.realtime import Realtime

log = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
FAILED_PAUSE_SECONDS = 0.5
ROTATE_SECONDS = 60.0


async def keep_mirror(mirror: Mirror, realtime: Realtime) -> None:
    """See every 5 s, and at once after a doubt, that Redis is a true copy."""
    was_up = True
    while True:
        try:
            await mirror.check()
            if not was_up:
                log.info("Redis is a true copy again")
            was_up = True
        except StorageUnavailable as error:
            if was_up:
                log.warning("Redis cannot be checked", extra=fields(error=str(error)))
            was_up = False
            await asyncio.sleep(FAILED_PAUSE_SECONDS)
            continue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK_SECONDS):
                await realtime.distrusted.wait()


async def rotate_keys(
    addresses: AddressKeys,
    partitions: Partitions,
    postgres: Postgres,
    clock: Clock,
    zone: ZoneInfo,
) -> None:
    """Have tomorrow's address key and next week's partitions in time; forget yesterday's keys."""
    while True:
        try:
            await addresses.rotate(local_day(clock(), zone))
            await partitions.ensure_ahead(clock())
            await forget_event_keys(postgres, clock())
        except StorageUnavailable as error:
            log.warning("keys and partitions not prepared", extra=fields(error=str(error)))
        await asyncio.sleep(ROTATE_SECONDS)
