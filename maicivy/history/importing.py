"""Importing logs: which of them were read how far, and whose keys hide the addresses of which day.

How far a log is read is committed with the events that were read, so whoever is killed goes on
where they were. The key of a day is made of the first bytes of the log that was being written when
the day began, which nobody but the log's owner has: it is stored nowhere and is forgotten with
the log, and an import that goes on later still tells who is who.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hmac
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from maicivy.errors import OperatorError
from maicivy.history.logfile import MAX_LINE_BYTES, BrokenLog, Log, Progress
from maicivy.history.pageviews import Rules, Sieve, Skip
from maicivy.ingest.urls import QueryParameters
from maicivy.periods import day_start, local_day

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from maicivy.config import Config
    from maicivy.history.logfile import Piece
    from maicivy.history.past import PastEvents
    from maicivy.ingest.event import Event
    from maicivy.storage.postgres import Connection, Postgres

# What a server's clock may be ahead of ours.
CLOCK_SKEW = dt.timedelta(minutes=5)
# As long as lines count that are in a log; older ones are too old to be counted twice.
NOTES_KEPT = dt.timedelta(days=91)


@dataclass
class Imported:
    """What an import did: lines by what became of them, and which logs could not be read whole."""

    lines: int = 0
    events: int = 0
    skipped: Counter[Skip] = field(default_factory=Counter)
    days: set[dt.date] = field(default_factory=set)
    read_before: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0


def own_hosts(site: str | None) -> frozenset[str]:
    """Return the hosts of `--site`, with and without `www.`; raises `OperatorError`."""
    if site is None:
        return frozenset()
    parts = urlsplit(site if "//" in site else f"//{site}")
    host = (parts.hostname or "").removeprefix("www.")
    if not host or parts.path not in {"", "/"}:
        raise OperatorError(f"--site must be a site such as https://example.org, not {site!r}.")
    return frozenset({host, f"www.{host}"})


def first_day_not_read(text: str | None, config: Config, now: dt.datetime) -> dt.datetime:
    """Return where `--before` ends the import, else a little after now; raises `OperatorError`."""
    latest = now + CLOCK_SKEW
    if text is None:
        return latest
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        raise OperatorError(f"--before must be a day such as 2026-11-01, not {text!r}.") from None
    return min(latest, day_start(day, config.timezone))


class Import:
    """One run over some logs, the earliest first."""

    def __init__(self, past: PastEvents, postgres: Postgres, secret: str, now: dt.datetime) -> None:
        self._past = past
        self._postgres = postgres
        self._secret = secret
        self._key = hmac.digest(secret.encode(), b"maicivy imported logs", "sha256")
        self._now = now
        self._starts: list[tuple[dt.date, bytes]] = []
        self._started = time.monotonic()
        self.done = Imported()

    async def run(
        self, names: Sequence[str], rules: Rules, progress: Callable[[str], None]
    ) -> Imported:
        """Read the logs called `names`; raises `OperatorError` before any if one is not there."""
        logs = [Log(name, self._key) for name in names]
        logs.sort(key=lambda log: log.begins() or 0)
        await self._postgres.write("forget_log_imports", self._now - NOTES_KEPT)
        earlier = await self._earlier()
        self._starts = [(_day_of(log.begins(), rules), _head(log, earlier)) for log in logs]
        sieve = Sieve(rules, self._secret, self._key_of)
        for log in logs:
            await self._read(log, sieve, progress)
        self.done.seconds = time.monotonic() - self._started
        return self.done

    def _key_of(self, day: dt.date) -> bytes:
        """Return the key of a day: that of the last log that began before it, else of the first."""
        begun = [head for start, head in self._starts if start < day]
        head = begun[-1] if begun else self._starts[0][1]
        return hmac.digest(self._key, b"day" + head + day.isoformat().encode(), "sha256")

    async def _earlier(self) -> list[Progress]:
        """Return how far which logs were read, the longest first."""
        return [Progress(*row) for row in await self._postgres.fetch("select_log_imports")]

    async def _read(self, log: Log, sieve: Sieve, progress: Callable[[str], None]) -> None:
        # asked anew for each, because the same log may be there twice, once compressed
        reading, done = _Reading(log, log.alike(await self._earlier()), sieve), self.done
        row = None
        upcoming = asyncio.create_task(asyncio.to_thread(reading.next))
        try:
            while (batch := await upcoming) is not None:
                # the next one is read while this one is written
                upcoming = asyncio.create_task(asyncio.to_thread(reading.next))
                row = await self._commit(log, row, batch)
                done.lines += batch.lines
                done.events += len(batch.events)
                done.skipped += batch.skipped
                done.days |= {event.moment.day for event in batch.events}
                progress(self._told(log, batch.piece))
        finally:
            await asyncio.wait([upcoming])
        if reading.error is not None:
            done.broken.append(f"{log.name} {reading.error}")
        if log.known is not None:
            done.read_before.append(log.name)
        if log.is_unfinished:
            done.unfinished.append(log.name)

    async def _commit(self, log: Log, row: int | None, batch: _Batch) -> int | None:
        """Store a batch with the place up to which the log is read now; return the note's id."""
        known, piece = log.known, batch.piece
        row = known.id if row is None and known is not None else row
        place = piece.read_bytes, piece.digest, self._now
        if row is None and not batch.is_log:
            return None  # nothing of it was understood yet, and so it was not read
        noted: list[int] = []

        async def note(connection: Connection) -> None:
            if row is not None:
                await self._postgres.run(connection, "advance_log_import", row, *place)
                return
            head = len(log.head), log.hash(len(log.head))
            rows = await self._postgres.run(connection, "start_log_import", *head, *place)
            noted.append(rows[0]["id"])

        async def is_noted() -> bool:
            rows = await self._postgres.fetch("select_log_imports")
            found = [one["id"] for one in rows if one["digest"] == piece.digest]
            noted.extend(found)
            return bool(found)

        refused = await self._past.store(batch.events, note, is_noted)
        if refused:
            self.done.events -= refused
            batch.skipped[Skip.REFUSED] += refused
        return row if row is not None else noted[-1]

    def _told(self, log: Log, piece: Piece) -> str:
        done = self.done
        share = "" if piece.share is None else f"{piece.share:.0%}, "
        rate = done.lines / (time.monotonic() - self._started)
        return (
            f"{log.name}: {share}{done.lines:,} lines, {done.events:,} page views, "
            f"{rate:,.0f} lines/s"
        )


@dataclass
class _Batch:
    """What a piece of a log became; `is_log` says that a line of it was understood."""

    piece: Piece
    lines: int = 0
    events: list[Event] = field(default_factory=list)
    skipped: Counter[Skip] = field(default_factory=Counter)

    @property
    def is_log(self) -> bool:
        return self.lines > self.skipped[Skip.BAD] + self.skipped[Skip.LONG]


class _Reading:
    """Reads a log piece by piece, in a thread of its own."""

    def __init__(self, log: Log, alike: list[Progress], sieve: Sieve) -> None:
        self._pieces: Iterator[Piece] = log.pieces(alike)
        self._sieve = sieve
        self.error: BrokenLog | OSError | None = None

    def next(self) -> _Batch | None:
        """Return what the next piece became, or None at the end or where reading fails."""
        try:
            piece = next(self._pieces, None)
        except (BrokenLog, OSError) as error:
            self.error = error
            return None
        return None if piece is None else self._sift(piece)

    def _sift(self, piece: Piece) -> _Batch:
        batch = _Batch(piece, lines=piece.too_long)
        batch.skipped[Skip.LONG] += piece.too_long
        for line in piece.text.split("\n"):
            if not line or line == "\r":
                continue
            batch.lines += 1
            found = self._sieve.take(line) if len(line) <= MAX_LINE_BYTES else Skip.LONG
            if isinstance(found, Skip):
                batch.skipped[found] += 1
            else:
                batch.events.append(found)
        return batch


def _day_of(second: int | None, rules: Rules) -> dt.date:
    return local_day(dt.datetime.fromtimestamp(second or 0, dt.UTC), rules.zone)


def _head(log: Log, earlier: list[Progress]) -> bytes:
    """Return what tells the log from others, and stays the same when it is written on."""
    alike = log.alike(earlier)
    return alike[0].head if alike else log.hash(len(log.head))


def rules_of(
    config: Config, now: dt.datetime, *, site: str | None = None, before: str | None = None
) -> Rules:
    """Return what counts; raises `OperatorError` for what an operator mistyped."""
    return Rules(
        since=now - dt.timedelta(days=config.retention_days),
        until=first_day_not_read(before, config, now),
        hosts=own_hosts(site),
        origins=frozenset(urlsplit(origin).netloc for origin in config.allowed_origins),
        parameters=QueryParameters.of(config.query_parameters),
        zone=config.timezone,
    )
