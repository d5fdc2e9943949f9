"""Days, weeks, months and the hour of the cleanup, in zones that change their clocks."""

from __future__ import annotations

import datetime as dt
import uuid
from zoneinfo import ZoneInfo

import pytest

from maicivy.periods import (
    EventIds,
    Moment,
    Period,
    day_start,
    format_instant,
    last_run_due,
    local_day,
    next_run_at,
    same_time,
)

PARIS = ZoneInfo("Europe/Paris")


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("period", "day", "start", "end", "key"),
    [
        (Period.DAY, "2025-12-08", "2025-12-08", "2025-12-09", "2025-12-08"),
        (Period.WEEK, "2025-12-08", "2025-12-08", "2025-12-15", "2025-W50"),
        (Period.WEEK, "2025-12-14", "2025-12-08", "2025-12-15", "2025-W50"),
        (Period.WEEK, "2026-12-31", "2026-12-28", "2027-01-04", "2026-W53"),
        (Period.WEEK, "2027-01-03", "2026-12-28", "2027-01-04", "2026-W53"),
        (Period.WEEK, "2024-12-30", "2024-12-30", "2025-01-06", "2025-W01"),
        (Period.MONTH, "2025-12-08", "2025-12-01", "2026-01-01", "2025-12"),
        (Period.MONTH, "2024-02-29", "2024-02-01", "2024-03-01", "2024-02"),
    ],
)
def test_period_of_a_day(period: Period, day: str, start: str, end: str, key: str) -> None:
    first = period.start(dt.date.fromisoformat(day))
    assert first == dt.date.fromisoformat(start)
    assert period.end(first) == dt.date.fromisoformat(end)
    assert period.key(first) == key


def test_the_day_is_the_one_of_the_zone() -> None:
    instant = utc("2026-12-31T22:59:59.900")
    assert local_day(instant, PARIS) == dt.date(2026, 12, 31)
    assert local_day(instant + dt.timedelta(seconds=0.2), PARIS) == dt.date(2027, 1, 1)


@pytest.mark.parametrize(
    ("zone", "day", "start"),
    [
        ("UTC", "2026-11-24", "2026-11-24T00:00"),
        ("Europe/Paris", "2026-11-24", "2026-11-23T23:00"),
        # midnight does not exist there on that day
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00"),
        # midnight comes twice there on that day: the day begins with the first
        ("America/Havana", "2024-11-03", "2024-11-03T04:00"),
        # the whole day does not exist there
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00"),
    ],
)
def test_day_start(zone: str, day: str, start: str) -> None:
    assert day_start(dt.date.fromisoformat(day), ZoneInfo(zone)) == utc(start)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-24T00:59:59", "2026-11-24T01:00"),
        ("2026-11-24T01:00:00", "2026-11-25T01:00"),
        # 02:00 does not exist on 2027-03-28: run at the first instant after the gap, 03:00 CEST
        ("2027-03-27T12:00", "2027-03-28T01:00"),
        ("2027-03-28T01:00", "2027-03-29T00:00"),
        # 02:00 comes twice on 2027-10-31: run at the first, not at the second
        ("2027-10-30T12:00", "2027-10-31T00:00"),
        ("2027-10-31T00:00", "2027-11-01T01:00"),
        ("2027-10-31T00:59:59", "2027-11-01T01:00"),
    ],
)
def test_next_run_at_two_in_paris(now: str, due: str) -> None:
    assert next_run_at(utc(now), PARIS) == utc(due)


@pytest.mark.parametrize(
    ("now", "day", "instant"),
    [
        ("2026-11-26T15:07:40", "2026-11-25", "2026-11-25T15:07:00"),
        ("2026-03-29T10:30:00", "2026-03-28", "2026-03-28T11:30:00"),  # 12:30, before the change
        ("2026-03-30T00:30:00", "2026-03-29", "2026-03-29T01:00:00"),  # 02:30 was skipped
    ],
)
def test_the_same_time_of_another_day(now: str, day: str, instant: str) -> None:
    assert same_time(utc(now), dt.date.fromisoformat(day), PARIS) == utc(instant)


def test_every_night_has_one_run_for_two_years() -> None:
    now, runs = utc("2026-06-01T12:00"), []
    while now < utc("2028-06-01T12:00"):
        now = next_run_at(now, PARIS)
        runs.append(local_day(now, PARIS))
        assert last_run_due(now, PARIS) == now
        assert last_run_due(now + dt.timedelta(hours=20), PARIS) == now
    first = dt.date(2026, 6, 2)
    assert runs == [first + dt.timedelta(days=n) for n in range(len(runs))]


def test_instants_are_written_as_in_the_contract() -> None:
    assert format_instant(utc("2025-12-08T12:34:56.789")) == "2025-12-08T12:34:56Z"


def test_ids_sort_by_time_and_say_their_version() -> None:
    ids = EventIds()
    early, late = ids.make(1_767_225_600_000), ids.make(1_767_225_600_001)
    assert early < late
    made = uuid.UUID(early)
    assert (str(made), made.version, made.variant) == (early, 7, "specified in RFC 4122")
    assert made.int >> 80 == 1_767_225_600_000
    assert len({ids.make(1_767_225_600_002) for _ in range(4096)}) == 4096


def test_no_id_comes_twice_when_the_clock_goes_back_or_in_two_processes() -> None:
    ids = EventIds()
    first = {ids.make(1_767_225_600_000) for _ in range(4096)}
    ids.make(1_767_225_601_000)
    again = {ids.make(1_767_225_600_000) for _ in range(4096)}
    assert len(first | again | {EventIds().make(1_767_225_600_000)}) == 8193


def test_a_moment_has_whole_milliseconds() -> None:
    zone = ZoneInfo("Europe/Paris")
    for microsecond in range(0, 1_000_000, 997):
        instant = utc("2026-07-05T22:02:03").replace(microsecond=microsecond)
        moment = Moment.of(instant, zone)
        assert moment.instant == instant.replace(microsecond=microsecond // 1000 * 1000)
        assert dt.datetime.fromtimestamp(moment.milliseconds / 1000, dt.UTC) == moment.instant
        assert (moment.day, moment.text) == (dt.date(2026, 7, 6), "2026-07-05T22:02:03Z")
