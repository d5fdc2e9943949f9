#!/usr/bin/env python3
"""The command line of maicivy: `python run.py [command]`, `serve` when none is named."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import platform
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import redis
from aiohttp import __version__ as aiohttp_version

from maicivy import __version__, embedded, exposition, granting, logs, serving, shared
from maicivy.app import create_app
from maicivy.background.cleanup import Cleanup
from maicivy.config import SETTINGS, Config, unknown_variables
from maicivy.errors import OperatorError, StorageUnavailable
from maicivy.history import commands
from maicivy.history.live import Crowd, served
from maicivy.logs import fields
from maicivy.metrics import Metrics
from maicivy.periods import utc_now
from maicivy.storage.stores import Stores, open_stores
from maicivy.workers import Workers, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

log = logging.getLogger("maicivy")

WORKERS_HELP = "processes that serve the port (or MAICIVY_WORKERS)"
QUIET_SECONDS = 2.0

DONE, FAILED, MISTAKE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and the environment, and run one command."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    try:
        told = {"MAICIVY_WORKERS": options.workers} if options.workers else {}
        config = Config.from_env(os.environ | told)
        logs.configure(config.log_level, config.log_format)
        place = getattr(options, "place", ())
        for name in () if place else unknown_variables(os.environ):
            log.warning("not a setting of maicivy", extra=fields(variable=name))
        return int(options.run(config, *([options] if options.run in WITH_OPTIONS else place)))
    except OperatorError as error:
        print(f"maicivy: {error}", file=sys.stderr)
        return MISTAKE
    except StorageUnavailable as error:
        print(f"maicivy: PostgreSQL or Redis does not answer ({error}).", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return FAILED


def make_parser() -> argparse.ArgumentParser:
    """Return the parser, whose help lists the commands and every setting."""
    width = max(len(setting.variable) for setting in SETTINGS)
    settings = "\n".join(f"  {one.variable:{width}}  {one.help}" for one in SETTINGS)
    parser = argparse.ArgumentParser(
        prog="run.py",
        description="maicivy: real-time web analytics that loses nothing and identifies nobody.",
        epilog=f"settings (environment variables):\n{settings}\n\n"
        "Secrets are also read from the file that <NAME>_FILE names.\n"
        "exit codes: 0 done, 1 failed or differences found, 2 something to correct",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=serve)
    parser.add_argument("--workers", help=WORKERS_HELP)
    subparsers = parser.add_subparsers(title="commands", metavar="command")
    for run, text in (
        (serve, "serve until Ctrl-C (default)"),
        (migrate, "bring the database schema up to date"),
        (cleanup, "delete what is past the retention, now"),
        (verify, "compare Redis and the rollups with the totals in PostgreSQL"),
        (rebuild, "fill Redis again from PostgreSQL"),
        (import_, "count the page views in logs of nginx or Apache"),
        (demo, "fill an empty database with made-up visitors, to try everything"),
        (share, "make a link that reads without the password"),
        (token, "make, list and revoke tokens of programs"),
        (version, "show the versions"),
    ):
        command = subparsers.add_parser(
            run.__name__.rstrip("_"), help=text, description=f"{text[0].upper()}{text[1:]}."
        )
        command.set_defaults(run=run)
        if run in WITH_OPTIONS:
            WITH_OPTIONS[run](command)
        if run is serve:
            command.add_argument("--workers", default=argparse.SUPPRESS, help=WORKERS_HELP)
    # for the program itself, so it has no line in the help
    command = subparsers.add_parser(worker.__name__)
    command.set_defaults(run=worker)
    command.add_argument("place", nargs="+")
    return parser


def serve(config: Config) -> int:
    """Serve until SIGINT or SIGTERM."""
    start = partial(embedded.start, connections=serving.database_connections(config))
    with started_servers(config, start) as (database_url, redis_url, servers):
        where = {"data": str(config.data_dir.resolve()), **servers.describe()} if servers else {}
        revive, ready = partial(_revive, servers), partial(serving.announce, config, **where)
        if config.workers == 1:
            config = serving.fitting(config)
            app = create_app(config, database_url=database_url, redis_url=redis_url)
            app.cleanup_ctx.append(serving.reviving(revive))
            serving.serve(app, config, ready)
            code = DONE
        else:
            # by environment, for a command line is no place for secrets
            told = {
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                "MAICIVY_WORKERS": str(config.workers),
            }
            code = _serve_with_workers(config, os.environ | told, revive, ready)
    log.info("stopped")
    return code


def _serve_with_workers(
    config: Config,
    environment: dict[str, str],
    revive: Callable[[], None],
    ready: Callable[[], None],
) -> int:
    """Have several processes serve; this one looks after them."""
    command = [sys.executable, str(Path(__file__).resolve()), worker.__name__]
    with serving.reserved_ports(config), shared.shared_folder(config.workers) as folder:
        return Workers(config.workers, command, environment, folder, revive).run(ready)


def worker(config: Config, *place: str) -> int:
    """Serve beside other workers; `place` is what the parent says."""
    member, ready = join(place)
    config = serving.fitting(config)
    app = create_app(
        config,
        database_url=config.database_url or "",
        redis_url=config.redis_url or "",
        member=member,
    )
    try:
        serving.serve(app, config, ready)
    finally:
        exposition.close()
    return DONE


def migrate(config: Config) -> int:
    """Bring the schema up to date."""
    return asyncio.run(_with_stores(config, _migrated))


def cleanup(config: Config) -> int:
    """Run the nightly cleanup once, now."""
    return asyncio.run(_with_stores(config, _cleaned))


def verify(config: Config) -> int:
    """Print every number that Redis and PostgreSQL disagree on; 1 if there is one."""
    return asyncio.run(_with_stores(config, _verified))


def rebuild(config: Config) -> int:
    """Delete maicivy's keys in Redis and fill them in again."""
    return asyncio.run(_with_stores(config, _rebuilt))


def import_(config: Config, options: argparse.Namespace) -> int:
    """Count the page views in logs; 1 if one of them could not be read to its end."""
    return asyncio.run(_with_stores(config, partial(_imported, options=options)))


def demo(config: Config, options: argparse.Namespace) -> int:
    """Fill a database with made-up visitors; with `--live` others come until Ctrl-C."""
    asyncio.run(_with_stores(config, partial(_demonstrated, options=options)))
    if options.live:
        crowd = Crowd(config, options.seed)
        command = [sys.executable, str(Path(__file__).resolve()), serve.__name__]
        with contextlib.suppress(KeyboardInterrupt), served(crowd, command):
            print("Visitors are coming; Ctrl-C ends it.", file=sys.stderr, flush=True)
            crowd.come(show_progress())
    return DONE


def share(config: Config, options: argparse.Namespace) -> int:
    """Make a share link, or list or revoke some."""
    return asyncio.run(_with_stores(config, partial(granting.share, options=options)))


def token(config: Config, options: argparse.Namespace) -> int:
    """Make, list or revoke a token."""
    return asyncio.run(_with_stores(config, partial(granting.token, options=options)))


# Commands that have options of their own, and who adds those.
WITH_OPTIONS: dict[Callable[..., int], Callable[[argparse.ArgumentParser], None]] = {
    import_: commands.add_import_options,
    demo: commands.add_demo_options,
    share: granting.add_share,
    token: granting.add_token,
}


def version(_: Config) -> int:
    """Show the versions of what runs."""
    print(
        f"maicivy {__version__}, Python {platform.python_version()}, aiohttp {aiohttp_version}, "
        f"asyncpg {asyncpg.__version__}, redis-py {redis.__version__}"
    )
    return DONE


@contextlib.contextmanager
def started_servers(
    config: Config, start: Callable[..., embedded.EmbeddedServers]
) -> Iterator[tuple[str, str, embedded.EmbeddedServers | None]]:
    """Lend the URLs of both servers, starting those that are not configured."""
    if config.database_url and config.redis_url:
        yield config.database_url, config.redis_url, None
        return
    missing = {"postgres": config.database_url is None, "redis": config.redis_url is None}
    with start(config.data_dir, **missing) as servers:
        yield (
            config.database_url or servers.database_url or "",
            config.redis_url or servers.redis_url or "",
            servers,
        )


def _revive(servers: embedded.EmbeddedServers | None) -> None:
    """Start an embedded server that died again."""
    for name in servers.revive() if servers else ():
        log.warning("embedded server had died and was started again", extra=fields(server=name))


async def _with_stores(config: Config, act: Callable[[Config, Stores], object]) -> int:
    with started_servers(config, embedded.attach_or_start) as (database_url, redis_url, _):
        async with open_stores(config, database_url, redis_url, Metrics(), utc_now) as stores:
            return int(await act(config, stores))  # type: ignore[misc]


async def _migrated(_: Config, stores: Stores) -> int:
    names = await stores.postgres.fetch("select_migrations")
    print(f"The schema is up to date ({names[-1]['name']}).")
    return DONE


def _cleanup(config: Config, stores: Stores) -> Cleanup:
    return Cleanup(
        postgres=stores.postgres,
        partitions=stores.partitions,
        visits=stores.visits,
        mirror=stores.mirror,
        metrics=Metrics(),
        clock=utc_now,
        zone=config.timezone,
        retention_days=config.retention_days,
    )


async def _cleaned(config: Config, stores: Stores) -> int:
    removed = await _cleanup(config, stores).run_once(show_progress())
    if removed is None:
        print("A cleanup is running elsewhere.", file=sys.stderr)
        return FAILED
    print(
        f"Removed {removed.partitions} partitions, {removed.events} single events and "
        f"{removed.visitors} visitors; packed {removed.packed} events."
    )
    return DONE


async def _verified(_: Config, stores: Stores) -> int:
    found = await stores.verifier.verify(show_progress())
    for one in found:
        print(f"{one.name}: {one.place} {_shown(one.told)}, PostgreSQL {_shown(one.postgres)}")
    print(f"{len(found)} differences." if found else "Redis and PostgreSQL agree.")
    return FAILED if found else DONE


async def _rebuilt(_: Config, stores: Stores) -> int:
    await stores.mirror.rebuild()
    print("Redis was filled from PostgreSQL.")
    return DONE


async def _imported(config: Config, stores: Stores, options: argparse.Namespace) -> int:
    done = await commands.import_logs(config, stores, options, utc_now(), show_progress())
    for sentence in commands.sentences(done, config.retention_days):
        print(sentence)
    for name in done.broken:
        print(f"maicivy: {name}.", file=sys.stderr)
    if done.events:
        await _settle(config, stores)
    return FAILED if done.broken else DONE


async def _demonstrated(config: Config, stores: Stores, options: argparse.Namespace) -> int:
    count = await commands.fill_demo(config, stores, options, utc_now(), show_progress())
    if count is not None:
        await _settle(config, stores)
        print(f"Made {count:,} events of {options.visitors:,} visitors in {options.days} days.")
    return DONE


async def _settle(config: Config, stores: Stores) -> None:
    """Do for the days that events were added to what the nights would have done, and tell Redis."""
    try:
        await _cleanup(config, stores).run_once(show_progress())
        await stores.mirror.check()
    except StorageUnavailable as error:
        log.warning("left to the running program", extra=fields(error=str(error)))


def _shown(value: int | None) -> str:
    return "has none" if value is None else str(value)


def show_progress() -> Callable[[str], None]:
    """Return what shows progress on stderr, once a second, when a command takes over 2 s."""
    started = shown_at = time.monotonic()

    def show(text: str) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if now - started > QUIET_SECONDS and now - shown_at > 1:
            shown_at = now
            print(f"{text} …", file=sys.stderr, flush=True)

    return show


if __name__ == "__main__":
    sys.exit(main())
