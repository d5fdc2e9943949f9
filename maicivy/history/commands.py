"""What `run.py import` and `run.py demo` take and tell; the command line prints the sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maicivy.errors import OperatorError
from maicivy.history.demo import MAX_DAYS, MAX_VISITORS, Demo
from maicivy.history.importing import Import, rules_of
from maicivy.history.pageviews import Skip
from maicivy.history.past import PastEvents

if TYPE_CHECKING:
    import argparse
    import datetime as dt
    from collections.abc import Callable, Iterator

    from maicivy.config import Config
    from maicivy.history.importing import Imported
    from maicivy.storage.stores import Stores

NAMES_TOLD = 5
SITE_HELP = (
    "the site, such as https://example.org: its own links are no sources, and in a log of several "
    "sites only its lines count"
)
BEFORE_HELP = (
    "leave out this day (such as 2026-11-01) and all after it, which the program counted itself"
)


def add_import_options(parser: argparse.ArgumentParser) -> None:
    """Let `run.py import` take logs."""
    parser.add_argument(
        "logs", nargs="+", metavar="access.log", help="a log, plain or gzip; - for standard input"
    )
    parser.add_argument("--site", help=SITE_HELP)
    parser.add_argument("--before", metavar="DAY", help=BEFORE_HELP)


def add_demo_options(parser: argparse.ArgumentParser) -> None:
    """Let `run.py demo` take a size."""
    parser.add_argument("--days", type=int, default=30, help="days up to today (default 30)")
    parser.add_argument("--visitors", type=int, default=3000, help="visitors (default 3000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same traffic")
    parser.add_argument("--live", action="store_true", help="then let visitors come until Ctrl-C")
    parser.add_argument(
        "--force", action="store_true", help="also into a database with real events"
    )


async def import_logs(
    config: Config,
    stores: Stores,
    options: argparse.Namespace,
    now: dt.datetime,
    progress: Callable[[str], None],
) -> Imported:
    """Import the logs that `options` name; raises `OperatorError` or `StorageUnavailable`."""
    rules = rules_of(config, now, site=options.site, before=options.before)
    past = PastEvents(stores.postgres, stores.partitions)
    async with past.alone():
        run = Import(past, stores.postgres, stores.secret, now)
        done = await run.run(options.logs, rules, progress)
    unread = done.skipped[Skip.BAD] + done.skipped[Skip.LONG]
    if done.lines and unread == done.lines:
        raise OperatorError(
            f"None of {done.lines:,} lines is one of a combined log of nginx or Apache."
        )
    return done


def sentences(done: Imported, retention_days: int) -> Iterator[str]:
    """Yield what is to be said of an import."""
    rate = f" ({done.lines / done.seconds:,.0f} lines/s)" if done.seconds > 0.1 else ""
    yield (
        f"Imported {done.events:,} page views of {len(done.days)} days from {done.lines:,} lines "
        f"in {done.seconds:.1f} s{rate}."
    )
    for skip in Skip:
        if done.skipped[skip]:
            days = f" of {retention_days} days" if skip is Skip.OLD else ""
            yield f"{done.skipped[skip]:,} left out: {skip}{days}."
    if done.read_before:
        yield f"{_listed(done.read_before)} had been read before, as far as it went then."
    if done.unfinished:
        yield f"The last line of {_listed(done.unfinished)} is not whole; it is left for next time."


def _listed(names: list[str]) -> str:
    more = len(names) - NAMES_TOLD
    return ", ".join(names[:NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")


async def fill_demo(
    config: Config,
    stores: Stores,
    options: argparse.Namespace,
    now: dt.datetime,
    progress: Callable[[str], None],
) -> int | None:
    """Make the traffic that `options` ask for; return how many events.

    None if only live visitors are wanted and the database has its demo already. Raises
    `OperatorError`.
    """
    for name, most in (("days", MAX_DAYS), ("visitors", MAX_VISITORS)):
        if not 1 <= getattr(options, name) <= most:
            raise OperatorError(f"--{name} must be a whole number from 1 to {most}.")
    if options.days > config.retention_days:
        raise OperatorError(
            f"--days must be at most {config.retention_days}, the retention "
            "(MAICIVY_RETENTION_DAYS)."
        )
    past = PastEvents(stores.postgres, stores.partitions)
    async with past.alone():
        is_demo = await stores.postgres.fetch_value("select_is_demo")
        if is_demo and options.live and not options.force:
            return None
        await _check_empty(stores, options, is_demo=is_demo)
        demo = Demo(config, past, options.seed, now)
        return await demo.fill(options.days, options.visitors, progress)


async def _check_empty(stores: Stores, options: argparse.Namespace, *, is_demo: bool) -> None:
    """Raise `OperatorError` for a database with events, unless they may be mixed."""
    events = await stores.postgres.fetch_value("count_all_events")
    if not events:
        await stores.postgres.write("mark_demo")
    elif not options.force:
        whose = "made-up" if is_demo else "real"
        raise OperatorError(
            f"This database has {events:,} {whose} events already; name another one (such as "
            "another MAICIVY_DATA_DIR), or --force to add made-up visitors to these."
        )
