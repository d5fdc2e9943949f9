"""Filling a database with made-up traffic: who comes when, on which day, until now.

The same seed gives the same traffic, day by day back from today; only ids are new each time.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
import uuid
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from maicivy.history.demo_site import HOURS, WEEKDAYS
from maicivy.history.demo_visits import Person, choose, new_person, new_source, visit
from maicivy.ingest.client import client_facts
from maicivy.ingest.event import check_fields, make_event
from maicivy.ingest.urls import QueryParameters
from maicivy.ingest.visitor import Visitor
from maicivy.periods import ONE_DAY, Moment, day_start, local_day

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from zoneinfo import ZoneInfo

    from maicivy.config import Config
    from maicivy.history.past import PastEvents
    from maicivy.ingest.event import Event
    from maicivy.storage.postgres import Connection

MAX_DAYS = 90
MAX_VISITORS = 1_000_000
BATCH_EVENTS = 1000
GROWTH, SPIKE_AT = 0.7, 0.68
# How many times as many come on the day on which others talk about the site, and on the next.
SPIKE_FACTORS = (3.6, 1.7)
COMES_BACK, DAYS_AWAY = 0.34, 4.0


class Visit(NamedTuple):
    """A visit to come: whose, when it begins, and whether it is one of the crowd of one day."""

    starts_at: dt.datetime
    visitor: int
    number: int
    spike: bool


def calendar(
    days: int, visitors: int, seed: int, now: dt.datetime, zone: ZoneInfo
) -> list[list[Visit]]:
    """Return the visits of each local day up to today, of exactly so many visitors."""
    random, today = Random(seed), local_day(now, zone)  # noqa: S311 - no secret comes of it
    dates = [today - ONE_DAY * age for age in reversed(range(days))]
    spike = _spike(dates)
    weights = [_weight(random, place / max(1, days - 1), date) for place, date in enumerate(dates)]
    for after, factor in enumerate(SPIKE_FACTORS if spike is not None else ()):
        weights[(spike or 0) + after] *= factor
    weights[-1] *= _elapsed(now, zone)
    planned: list[list[Visit]] = [[] for _ in dates]
    for visitor, first in enumerate(_shared(visitors, weights)):
        place, number = float(first), 0
        while place < days:
            day = int(place)
            starts_at = _instant(random, dates[day], now, zone)
            planned[day].append(Visit(starts_at, visitor, number, number == 0 and day == spike))
            if random.random() > COMES_BACK:
                break
            place, number = place + 0.4 + random.expovariate(1 / DAYS_AWAY), number + 1
    return planned


def _spike(dates: list[dt.date]) -> int | None:
    """Return the place of the day on which a crowd comes, from Tuesday to Thursday, if any."""
    places = [place for place, date in enumerate(dates[:-2]) if 1 <= date.weekday() <= 3]
    return min(places, key=lambda place: abs(place - SPIKE_AT * len(dates)), default=None)


def _weight(random: Random, share: float, date: dt.date) -> float:
    """Return how busy a usual day is; `share` is how far it is from the first to the last."""
    return (1 + GROWTH * share) * WEEKDAYS[date.weekday()] * math.exp(random.gauss(0, 0.07))


def _elapsed(now: dt.datetime, zone: ZoneInfo) -> float:
    """Return which share of today's visits has begun."""
    local = now.astimezone(zone)
    begun = sum(HOURS[: local.hour]) + HOURS[local.hour] * local.minute / 60
    return max(begun / sum(HOURS), 1e-6)


def _shared(visitors: int, weights: list[float]) -> Iterator[int]:
    """Yield the day of each visitor's first visit, so that days have their shares."""
    total, given, so_far = sum(weights), 0, 0.0
    for place, weight in enumerate(weights):
        so_far += weight
        until = visitors if place == len(weights) - 1 else round(visitors * so_far / total)
        yield from itertools.repeat(place, until - given)
        given = until


def _instant(random: Random, date: dt.date, now: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """Return an instant of a local day, likelier in its busy hours, and before `now`."""
    hours = list(enumerate(HOURS))
    for _ in range(50):
        time = dt.time(choose(random, hours), random.randrange(60), random.randrange(60))
        instant = dt.datetime.combine(date, time, zone).astimezone(dt.UTC)
        if instant < now:
            return instant
    start = day_start(date, zone)
    return start + (now - start) * random.random()


class Demo:
    """Makes the events of a calendar and stores them, day by day."""

    def __init__(self, config: Config, past: PastEvents, seed: int, now: dt.datetime) -> None:
        self._zone = config.timezone
        self._parameters = QueryParameters.of(config.query_parameters)
        self._past = past
        self._seed = seed
        self._now = now
        self._visitors: dict[int, tuple[Person, Visitor]] = {}

    async def fill(self, days: int, visitors: int, progress: Callable[[str], None]) -> int:
        """Store everything; return how many events. Raises `StorageUnavailable`."""
        planned = calendar(days, visitors, self._seed, self._now, self._zone)
        stored = 0
        for number, visits in enumerate(planned, start=1):
            events = self.events(visits)
            for first in range(0, len(events), BATCH_EVENTS):
                await self._store(events[first : first + BATCH_EVENTS])
            stored += len(events)
            progress(f"demo: day {number} of {days}, {stored:,} events")
        return stored

    def events(self, visits: list[Visit]) -> list[Event]:
        """Return what is done in some visits, in the order of time, as far as it is past."""
        done = []
        for one in visits:
            random = Random(f"{self._seed} {one.visitor} {one.number}")  # noqa: S311
            person, visitor = self._visitor(one.visitor)
            source = new_source(random, spike=one.spike)
            for step in visit(random, person, source):
                instant = one.starts_at + dt.timedelta(seconds=step.seconds)
                if instant < self._now:
                    done.append((instant, one.visitor, visitor, step.body))
        done.sort(key=lambda event: event[:2])
        return [
            make_event(
                check_fields(body, self._parameters), visitor, Moment.of(instant, self._zone)
            )
            for instant, _, visitor, body in done
        ]

    def _visitor(self, number: int) -> tuple[Person, Visitor]:
        known = self._visitors.get(number)
        if known is None:
            random = Random(f"{self._seed} {number}")  # noqa: S311
            person = new_person(random)
            facts = client_facts(person.agent.user_agent)
            identity = str(uuid.UUID(int=random.getrandbits(128), version=4))
            address = f"{random.getrandbits(256):064x}"
            names = facts.browser, facts.os, facts.device
            known = person, Visitor(identity, "", address, *names, person.language)
            self._visitors[number] = known
        return known

    async def _store(self, events: list[Event]) -> None:
        async def note(_: Connection) -> None:
            """Nothing: a demo that is broken off is not gone on with."""

        async def is_noted() -> bool:
            return await self._past.is_stored(events[0])

        await self._past.store(events, note, is_noted)
