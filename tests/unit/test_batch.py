"""Batches of events as columns of text, and who came in them."""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maicivy.ingest.batch import NULL, SEPARATOR, batch_arguments, read_reply, utc_days
from maicivy.ingest.event import Event, Fields, make_event
from maicivy.ingest.visitor import Visitor
from maicivy.periods import Moment

PARIS = ZoneInfo("Europe/Paris")
START = dt.datetime(2025, 3, 29, 22, 59, 59, 998_000, tzinfo=dt.UTC)


@functools.cache
def visitor(number: int) -> Visitor:
    identity = str(uuid.UUID(int=number))
    return Visitor(identity, identity, "0" * 64, "Chrome", "Linux", "desktop", "")


@functools.cache
def moment(milliseconds: int) -> Moment:
    return Moment.of(START + dt.timedelta(milliseconds=milliseconds), PARIS)


def made(number: int, milliseconds: int, page_url: str | None = None) -> Event:
    fields = Fields("x", page_url=page_url, session_duration=number)
    return make_event(fields, visitor(number), moment(milliseconds))


# Who came when. Events have visitors and moments in common, as those of one request do.
CAME = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from([0, 1, 2, 3_600_002])), min_size=1, max_size=8
)


@given(CAME)
def test_each_visitor_is_one_row_with_their_first_and_last_event(
    came: list[tuple[int, int]],
) -> None:
    events = [made(*one) for one in came]
    ids, *_, first, last = (column.split(SEPARATOR) for column in batch_arguments(events)[12:])
    seen: dict[str, list[int]] = {}
    for event in events:
        seen.setdefault(event.visitor.id, []).append(event.moment.milliseconds)
    assert ids == list(seen)
    assert [int(text) for text in first] == [min(times) for times in seen.values()]
    assert [int(text) for text in last] == [max(times) for times in seen.values()]


@given(CAME)
def test_a_reply_tells_who_came_on_which_day_and_when_last(came: list[tuple[int, int]]) -> None:
    events = [made(*one) for one in came]
    totals = read_reply([], events).totals
    days = {event.moment.day for event in events}
    assert totals.visitors_by_day == {
        day: {event.visitor.id for event in events if event.moment.day == day} for day in days
    }
    assert totals.last_seen == {
        one.visitor.id: max(
            other.moment.milliseconds / 1000
            for other in events
            if other.visitor.id == one.visitor.id
        )
        for one in events
    }


@given(CAME)
def test_the_days_of_partitions_are_those_of_utc(came: list[tuple[int, int]]) -> None:
    events = [made(*one) for one in came]
    assert utc_days(events) == {event.moment.instant.date() for event in events}


@pytest.mark.parametrize("milliseconds", [3_600_001, 3_600_002])
def test_midnight_in_utc(milliseconds: int) -> None:
    day = dt.date(2025, 3, 30 if milliseconds > 3_600_001 else 29)
    assert utc_days([made(1, milliseconds)]) == {day}


def test_columns_are_in_the_order_of_the_statement() -> None:
    one, two = made(1, 0, "/a"), made(2, 5)
    columns = [column.split(SEPARATOR) for column in batch_arguments([one, two])]
    assert columns[:12] == [
        [one.id, two.id],
        [one.visitor.id, two.visitor.id],
        ["x", "x"],
        [NULL, NULL],
        ["/a", NULL],
        [NULL, NULL],
        ["1", "2"],
        [str(one.moment.milliseconds), str(two.moment.milliseconds)],
        ["2025-03-29", "2025-03-30"],
        [NULL, NULL],
        [NULL, NULL],
        [NULL, NULL],
    ]
    assert [column[0] for column in columns[12:18]] == [
        *(one.visitor.id, "0" * 64, "Chrome", "Linux", "desktop", NULL)
    ]


def test_a_separator_in_a_value_shifts_no_column() -> None:
    columns = batch_arguments([made(1, 0, f"/a{SEPARATOR}b"), made(2, 0), made(3, 0, "/c")])
    assert columns[4].split(SEPARATOR) == ["/a b", NULL, "/c"]
