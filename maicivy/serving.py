"""Serving an application on the port until a signal comes, alone or as one of several workers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
import platform
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, cast

from aiohttp import __version__ as aiohttp_version
from aiohttp import web

from maicivy import __version__
from maicivy import loop as event_loop
from maicivy.errors import OperatorError
from maicivy.logs import fields
from maicivy.storage.postgres import SCAN_CONNECTIONS, WRITE_CONNECTIONS
from maicivy.web import door, keys
from maicivy.web.connection import Runner
from maicivy.web.express import Express

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from maicivy.config import Config

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 8.0
REVIVE_SECONDS = 0.5
GC_THRESHOLD = 20_000
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# The cleanup and the filling of Redis each hold one connection and ask on another.
LEAST_POOL_SIZE = 4
# What PostgreSQL keeps for itself, a few commands beside the program, a few people who look.
SPARE_CONNECTIONS = 50


def serve(app: web.Application, config: Config, ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; raises `OperatorError` when the port cannot be had."""
    try:
        with contextlib.suppress(asyncio.CancelledError):
            event_loop.run(_serve(app, config, ready))
    except OSError as error:
        raise _cannot_listen(config.host, config.port, error) from None


async def _serve(app: web.Application, config: Config, ready: Callable[[], None]) -> None:
    """Serve until a signal comes; the next one does not wait for requests under way."""
    runner = Runner(app, app[keys.DOOR], Express, shutdown_timeout=SHUTDOWN_SECONDS)
    loop, serving = asyncio.get_running_loop(), asyncio.current_task()
    for number in SIGNALS:
        loop.add_signal_handler(number, cast("asyncio.Task[None]", serving).cancel)
    try:
        await runner.setup()
        site = web.TCPSite(
            runner,
            config.host,
            config.port,
            backlog=door.BACKLOG,
            reuse_port=config.workers > 1 or None,
        )
        await site.start()
        _settle_memory()
        ready()
        await loop.create_future()
    finally:
        await runner.cleanup()


def _settle_memory() -> None:
    """Have the collector leave alone what was made by now, and look less often at the rest.

    Hardly anything of a request is left to it, so looking often is a waste.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)


def fitting(config: Config) -> Config:
    """Return the settings of one worker: its share of all connections that may be open.

    There are no more of them than the system has open files for.
    """
    share = max(1, config.max_connections // config.workers)
    most = door.fitting_connections(share)
    if most < share:
        log.warning("the limit of open files allows fewer connections", extra=fields(most=most))
    return dataclasses.replace(config, max_connections=most, database_pool_size=pool_size(config))


def pool_size(config: Config) -> int:
    """Return how many PostgreSQL connections the reports of one worker may use."""
    if config.workers == 1:
        return config.database_pool_size
    return max(LEAST_POOL_SIZE, config.database_pool_size // config.workers)


def database_connections(config: Config) -> int:
    """Return how many connections to PostgreSQL all workers and commands beside them may need."""
    of_one = pool_size(config) + WRITE_CONNECTIONS + SCAN_CONNECTIONS
    return config.workers * of_one + SPARE_CONNECTIONS


@contextlib.contextmanager
def reserved_ports(config: Config) -> Iterator[None]:
    """Hold the ports of several workers against everybody else; raises `OperatorError`.

    A socket that is bound and does not listen gets no connections, and keeps the port from being
    lost when every worker is being started again.
    """
    if sys.platform != "linux":
        raise OperatorError(
            "MAICIVY_WORKERS above 1 needs Linux, whose kernel spreads connections over the "
            "processes that share a port; start several programs behind a proxy instead."
        )
    with contextlib.ExitStack() as stack:
        for port in filter(None, (config.port, config.metrics_port)):
            try:
                for place in _places(config.host, port):
                    # two programs with workers could share a port, so the free one is asked for
                    _bound(socket.SO_REUSEADDR, *place).close()
                    stack.enter_context(_bound(socket.SO_REUSEPORT, *place))
            except OSError as error:
                raise _cannot_listen(config.host, port, error) from None
        yield


def _places(host: str, port: int) -> list[tuple[int, Any]]:
    """Return the family and the address of each place to listen on."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return sorted({(int(family), address) for family, _, _, _, address in found})


def _bound(option: int, family: int, address: Any) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
    except OSError:
        opened.close()
        raise
    return opened


def _cannot_listen(host: str, port: int, error: OSError) -> OperatorError:
    return OperatorError(
        f"Cannot listen on {host}:{port}: {error.strerror}; "
        "set MAICIVY_HOST or MAICIVY_PORT to another one."
    )


def reviving(
    revive: Callable[[], None],
) -> Callable[[web.Application], contextlib.AbstractAsyncContextManager[None]]:
    """Return what calls `revive` again and again while the application runs."""

    async def watch() -> None:
        while True:
            await asyncio.sleep(REVIVE_SECONDS)
            revive()

    @contextlib.asynccontextmanager
    async def context(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(watch())
        yield
        task.cancel()
        await asyncio.wait([task])

    return context


def announce(config: Config, **where: str) -> None:
    """Say that requests are answered from now on."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    workers = {"workers": config.workers} if config.workers > 1 else {}
    versions: Mapping[str, str] = {
        "version": __version__,
        "python": platform.python_version(),
        "aiohttp": aiohttp_version,
    }
    url = f"http://{host}:{config.port}"
    log.info("maicivy is ready", extra=fields(url=url, **workers, **versions, **where))
