"""What exists, and in which order it opens and closes. The only wiring."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from aiohttp import web

from maicivy.background.cleanup import Cleanup
from maicivy.background.hub import Hub
from maicivy.background.keeper import keep_mirror, rotate_keys
from maicivy.background.tasks import Supervisor
from maicivy.ingest.identity import Identifier
from maicivy.ingest.ledger import Ledger
from maicivy.ingest.limiter import RateLimiter
from maicivy.ingest.network import Proxies
from maicivy.ingest.urls import QueryParameters
from maicivy.ingest.visitor import Keyring
from maicivy.ingest.writer import Writer
from maicivy.metrics import Metrics
from maicivy.periods import Clock, local_day, utc_now
from maicivy.reports.answers import Answers
from maicivy.reports.source import Source
from maicivy.shared import Seats, SharedSeats
from maicivy.storage.addresses import AddressKeys
from maicivy.storage.grants import Grants
from maicivy.storage.stores import Stores, open_stores
from maicivy.web import keys, live, login, ops
from maicivy.web.access import Access
from maicivy.web.ahead import Ahead
from maicivy.web.connection import Runner
from maicivy.web.door import Bounds, Door
from maicivy.web.intake import Intake
from maicivy.web.middleware import explain, guard
from maicivy.web.packed import Packed
from maicivy.web.password import Password
from maicivy.web.routes import MIDDLEWARES, opened, routes
from maicivy.web.tracker import Tracker

# Each may hold a connection of those for reports for minutes.
MAX_EXPORTS = 2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from maicivy.config import Config
    from maicivy.shared import Member


def create_app(
    config: Config,
    *,
    database_url: str,
    redis_url: str,
    clock: Clock = utc_now,
    bounds: Bounds | None = None,
    member: Member | None = None,
) -> web.Application:
    """Return the application; it connects when it starts.

    `bounds` are those of connections, if they are not to be the configured ones. `member` says who
    it is among the workers of one program.
    """
    app = web.Application(middlewares=MIDDLEWARES)
    app.on_response_prepare.append(guard)
    app[keys.CONFIG] = config
    app[keys.CLOCK] = clock
    app[keys.PROXIES] = Proxies(config.trusted_proxies)
    app[keys.PARAMETERS] = QueryParameters.of(config.query_parameters)
    app[keys.METRICS] = Metrics(member)
    app[keys.LEDGER] = Ledger(app[keys.METRICS], member.since if member else clock())
    app[keys.SEATS] = _seats(config, member)
    app[keys.DOOR] = Door(bounds or Bounds(config.max_connections), app[keys.METRICS])
    app[keys.PACKED] = Packed()
    app[keys.SOCKETS] = set()
    app[keys.EXPORTS] = Seats(MAX_EXPORTS)
    app[keys.OPENED] = opened(config)
    app[keys.AHEAD] = Ahead(app[keys.PROXIES])
    app[keys.TRACKER] = Tracker.of(config)
    app.add_routes(routes(config))

    @contextlib.asynccontextmanager
    async def services(app: web.Application) -> AsyncIterator[None]:
        metrics = app[keys.METRICS]
        async with open_stores(config, database_url, redis_url, metrics, clock) as stores:
            await _build(app, stores)
            await _guard(app, stores)
            yield

    app.cleanup_ctx.append(services)
    app.cleanup_ctx.append(background)
    if member is not None:
        app.cleanup_ctx.append(membership)
    if config.metrics_port is not None:
        app.cleanup_ctx.append(metrics_port)
    app.on_shutdown.append(stop_waiting)
    app.on_shutdown.append(live.close_all)
    return app


def _seats(config: Config, member: Member | None) -> Seats:
    """Return the places of the live feed."""
    limit = config.ws_max_connections
    return Seats(limit) if member is None else SharedSeats(limit, member)


async def _build(app: web.Application, stores: Stores) -> None:
    """Put together what stands on the stores."""
    config, clock, metrics = app[keys.CONFIG], app[keys.CLOCK], app[keys.METRICS]
    source = Source(stores.postgres, stores.realtime, stores.visits, clock, config.timezone)
    answers = Answers(source, metrics)
    hub = Hub(source, answers, metrics, app[keys.SEATS])
    keyring = Keyring(stores.secret)
    app[keys.STORES] = stores
    app[keys.POSTGRES] = stores.postgres
    app[keys.REALTIME] = stores.realtime
    app[keys.SOURCE] = source
    app[keys.ANSWERS] = answers
    app[keys.HUB] = hub
    app[keys.KEYRING] = keyring
    app[keys.IDENTIFIER] = Identifier(keyring, config.workers)
    app[keys.ADDRESSES] = AddressKeys(stores.postgres)
    app[keys.LIMITER] = RateLimiter(stores.realtime, config.event_rate_limit)
    app[keys.SUPERVISOR] = Supervisor(metrics)
    app[keys.WRITER] = Writer(
        postgres=stores.postgres,
        partitions=stores.partitions,
        realtime=stores.realtime,
        metrics=metrics,
        ledger=app[keys.LEDGER],
        clock=clock,
        queue_size=config.queue_size,
        batch_size=config.batch_size,
        deliver=hub.deliver_own,
        observe=answers.observe,
    )
    app[keys.INTAKE] = Intake(
        config=config,
        clock=clock,
        proxies=app[keys.PROXIES],
        parameters=app[keys.PARAMETERS],
        ledger=app[keys.LEDGER],
        writer=app[keys.WRITER],
        addresses=app[keys.ADDRESSES],
        limiter=app[keys.LIMITER],
        identifier=app[keys.IDENTIFIER],
    )
    app[keys.CLEANUP] = Cleanup(
        postgres=stores.postgres,
        partitions=stores.partitions,
        visits=stores.visits,
        mirror=stores.mirror,
        metrics=metrics,
        clock=clock,
        zone=config.timezone,
        retention_days=config.retention_days,
    )
    await app[keys.ADDRESSES].rotate(local_day(clock(), config.timezone))


async def _guard(app: web.Application, stores: Stores) -> None:
    """Put together what says who may read."""
    text = app[keys.CONFIG].dashboard_password
    password = await Password.of(text, stores.secret) if text is not None else None
    app[keys.ACCESS] = Access(Grants(stores.postgres, app[keys.CLOCK]), password)
    app[keys.LOGIN_LIMITER] = RateLimiter(stores.realtime, login.CLIENT_ATTEMPTS)
    app[keys.LOGINS_LIMITER] = RateLimiter(stores.realtime, login.ALL_ATTEMPTS)


async def stop_waiting(app: web.Application) -> None:
    """Answer whoever has not sent the whole body yet."""
    app[keys.INTAKE].stop_waiting()


@contextlib.asynccontextmanager
async def background(app: web.Application) -> AsyncIterator[None]:
    """Run every background task; at the end the writer's queue is emptied first."""
    tasks, stores, hub = app[keys.SUPERVISOR], app[keys.STORES], app[keys.HUB]
    clock, zone = app[keys.CLOCK], app[keys.CONFIG].timezone
    tasks.start("writer", app[keys.WRITER].run)
    tasks.start("mirror", lambda: keep_mirror(stores.mirror, stores.realtime))
    tasks.start("subscription", lambda: hub.run_subscription(stores.patient_redis))
    tasks.start("heartbeat", hub.run_heartbeat)
    tasks.start("feed", hub.run_rounds)
    tasks.start(
        "rotation",
        lambda: rotate_keys(app[keys.ADDRESSES], stores.partitions, stores.postgres, clock, zone),
    )
    tasks.start("visits", stores.visits.run)
    tasks.start("cleanup", app[keys.CLEANUP].run)
    tasks.start("door", app[keys.DOOR].run)
    try:
        yield
    finally:
        await app[keys.WRITER].close()
        await tasks.stop()


@contextlib.asynccontextmanager
async def membership(app: web.Application) -> AsyncIterator[None]:
    """Take the place of a worker that may have died, and tell what only it can tell of itself."""
    app[keys.LEDGER].close_predecessor()
    app[keys.SUPERVISOR].start("sampling", app[keys.METRICS].sample)
    yield


@contextlib.asynccontextmanager
async def metrics_port(app: web.Application) -> AsyncIterator[None]:
    """Serve `/metrics` on a port of its own."""
    config = app[keys.CONFIG]
    side = web.Application(middlewares=[explain])
    side.on_response_prepare.append(guard)
    side[keys.CONFIG] = config
    side[keys.PROXIES] = app[keys.PROXIES]
    side[keys.METRICS] = app[keys.METRICS]
    side.router.add_get("/metrics", ops.get_metrics)
    runner = Runner(side, app[keys.DOOR])
    await runner.setup()
    reuse_port = config.workers > 1 or None
    await web.TCPSite(runner, config.host, config.metrics_port, reuse_port=reuse_port).start()
    try:
        yield
    finally:
        await runner.cleanup()
