"""Opening PostgreSQL and Redis together: schema up to date, identity known, copy wired up."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from maicivy.logs import fields
from maicivy.storage import redis_client
from maicivy.storage.forgetting import Forgetting
from maicivy.storage.migrations import installation, migrate
from maicivy.storage.mirror import Mirror
from maicivy.storage.partitions import Partitions
from maicivy.storage.postgres import Postgres
from maicivy.storage.realtime import Realtime
from maicivy.storage.verify import Verifier
from maicivy.storage.visits import Visits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from maicivy.config import Config
    from maicivy.metrics import Metrics
    from maicivy.periods import Clock

log = logging.getLogger(__name__)

PATIENT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that stands on the two servers; `secret` is the one that identities come from."""

    postgres: Postgres
    partitions: Partitions
    realtime: Realtime
    mirror: Mirror
    verifier: Verifier
    forgetting: Forgetting
    visits: Visits
    patient_redis: redis.asyncio.Redis
    secret: str


@contextlib.asynccontextmanager
async def open_stores(
    config: Config, database_url: str, redis_url: str, metrics: Metrics, clock: Clock
) -> AsyncIterator[Stores]:
    """Connect to both servers and bring the schema up to date.

    PostgreSQL has to answer; Redis may come later. Raises `OperatorError`.
    """
    async with contextlib.AsyncExitStack() as stack:
        hot = redis_client.connect(redis_url, redis_client.HOT_TIMEOUT_SECONDS)
        patient = redis_client.connect(redis_url, PATIENT_SECONDS)
        stack.push_async_callback(hot.aclose)
        stack.push_async_callback(patient.aclose)
        postgres = await stack.enter_async_context(
            Postgres.connect(
                database_url,
                metrics,
                config.database_pool_size,
                own_server=config.database_url is None,
            )
        )
        await migrate(postgres)
        identity = await installation(postgres, config.timezone.key)
        if identity.timezone != config.timezone.key:
            await _change_timezone(postgres, identity.timezone, config.timezone.key)
        partitions = Partitions(postgres)
        await partitions.ensure_ahead(clock())
        realtime = Realtime(hot, metrics, config.timezone)
        stack.callback(realtime.close)
        mirror = Mirror(
            postgres=postgres,
            client=patient,
            realtime=realtime,
            metrics=metrics,
            clock=clock,
            zone=config.timezone,
            database_id=identity.database_id,
        )
        visits = Visits(postgres, config.timezone)
        stack.push_async_callback(visits.close)
        yield Stores(
            postgres=postgres,
            partitions=partitions,
            realtime=realtime,
            mirror=mirror,
            verifier=Verifier(
                postgres=postgres,
                client=patient,
                sketches=mirror.sketches,
                visits=visits,
                clock=clock,
                zone=config.timezone,
            ),
            forgetting=Forgetting(postgres, realtime, visits, clock, config.timezone),
            visits=visits,
            patient_redis=patient,
            secret=config.secret_key or identity.secret_key,
        )


async def _change_timezone(postgres: Postgres, old: str, new: str) -> None:
    log.warning(
        "the time zone changed; earlier days stay as counted", extra=fields(old=old, new=new)
    )
    # what was counted by the old zone's days is folded into them
    visits = Visits(postgres, ZoneInfo(old))
    await visits.catch_up()
    await visits.close()
    await postgres.write("update_timezone", new)
