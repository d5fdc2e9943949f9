"""The demonstration's traffic: the same for a seed, of so many visitors, and believable."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from maicivy.config import Config
from maicivy.history.demo import Demo, Visit, calendar
from maicivy.history.demo_site import AGENTS, PAGES, SOURCES, SPIKE
from maicivy.history.demo_visits import Step, new_person, new_source, visit
from maicivy.ingest.client import ClientKind, client_facts
from maicivy.ingest.event import check_fields
from maicivy.ingest.urls import QueryParameters
from maicivy.periods import local_day

if TYPE_CHECKING:
    from pathlib import Path

PARIS = ZoneInfo("Europe/Paris")
# three days after the clocks went back
NOW = dt.datetime(2026, 10, 28, 13, 30, tzinfo=dt.UTC)


def planned(visitors: int = 3000, seed: int = 1, days: int = 30) -> list[list[Visit]]:
    return calendar(days, visitors, seed, NOW, PARIS)


def test_a_seed_is_one_traffic() -> None:
    assert planned() == planned()
    assert planned() != planned(seed=2)


@pytest.mark.parametrize(("days", "visitors"), [(1, 1), (1, 500), (3, 10), (30, 3000), (90, 200)])
def test_every_visitor_comes_on_their_day_and_before_now(days: int, visitors: int) -> None:
    visits = planned(visitors, days=days)
    assert {one.visitor for day in visits for one in day} == set(range(visitors))
    today = local_day(NOW, PARIS)
    for age, day in enumerate(reversed(visits)):
        for one in day:
            assert local_day(one.starts_at, PARIS) == today - dt.timedelta(days=age)
            assert one.starts_at < NOW


def test_days_grow_rest_at_the_weekend_and_one_stands_out() -> None:
    counts = [len(day) for day in planned()][:-1]
    dates = [local_day(NOW, PARIS) - dt.timedelta(days=30 - 1 - n) for n in range(29)]
    spike = counts.index(max(counts))
    assert counts[spike] > 2.5 * sum(counts) / len(counts)
    assert dates[spike].weekday() in {1, 2, 3}
    quiet = [c for c, d in zip(counts, dates, strict=True) if d.weekday() > 4]
    busy = [c for n, (c, d) in enumerate(zip(counts, dates, strict=True))
            if d.weekday() < 5 and n not in {spike, spike + 1}]  # fmt: skip
    assert sum(quiet) / len(quiet) < 0.75 * sum(busy) / len(busy)
    assert sum(busy[-5:]) > 1.2 * sum(busy[:5])
    hours = Counter(one.starts_at.astimezone(PARIS).hour for day in planned()[:-1] for one in day)
    assert sum(hours[hour] for hour in range(9, 18)) > 8 * sum(hours[hour] for hour in range(1, 6))


def test_nothing_happens_after_now(tmp_path: Path) -> None:
    past: Any = None  # nothing is stored
    demo = Demo(Config(data_dir=tmp_path), past, 1, NOW)
    began = [Visit(NOW - dt.timedelta(seconds=20), n, 0, spike=False) for n in range(200)]
    events = demo.events(began)
    assert 200 <= len(events) < 600
    assert all(event.moment.instant < NOW for event in events)
    assert events == sorted(events, key=lambda event: event.moment.instant)


def visits(count: int) -> list[list[Step]]:
    random = Random(7)
    return [
        visit(random, new_person(random), new_source(random, spike=number % 10 == 0))
        for number in range(count)
    ]


def test_visits_are_what_the_door_takes() -> None:
    parameters = QueryParameters.of(("theme", "utm_*"))
    kinds: Counter[str] = Counter()
    for steps in visits(800):
        assert steps == sorted(steps, key=lambda step: step.seconds)
        assert steps[0].body["event_type"] == "page_view"
        assert steps[0].seconds == 0
        views = [step for step in steps if step.body["event_type"] == "page_view"]
        assert 1 <= len(views) <= 15
        for step in steps:
            fields = check_fields(step.body, parameters)
            assert fields.page_url is not None
            assert fields.page_url == step.body["page_url"], "nothing of it is redacted"
            assert fields.data == step.body.get("event_data")
            assert fields.page_url.partition("?")[0] in PAGES
            kinds[fields.event_type] += 1
    assert kinds.keys() >= {
        "page_view", "page_leave", "click", "cv_theme_change", "letter_generate", "pdf_download",
        "link_click", "form_submit", "newsletter_signup", "share",
    }  # fmt: skip


def test_bounces_engagement_and_clicks() -> None:
    all_visits = visits(2000)
    lengths = [sum(s.body["event_type"] == "page_view" for s in steps) for steps in all_visits]
    assert 0.35 < lengths.count(1) / len(lengths) < 0.6
    clicks: list[dict[str, Any]] = []
    for steps in all_visits:
        for step in steps:
            if step.body["event_type"] == "page_leave":
                assert 1 <= step.body["session_duration"] <= 600
            if step.body["event_type"] == "click":
                clicks.append(step.body["event_data"])
    assert all(0 <= one["x"] < one["width"] and one["y"] >= 0 for one in clicks)
    # clustered: few squares of 40 pixels have most of the clicks of a width
    wide = [one for one in clicks if one["width"] == 1920]
    squares = Counter((one["x"] // 40, one["y"] // 40) for one in wide)
    assert sum(count for _, count in squares.most_common(40)) > 0.6 * len(wide)


def test_links_lead_to_pages_and_agents_are_people() -> None:
    for page in PAGES.values():
        assert {path for path, _ in page.links} <= PAGES.keys()
    for source in (*SOURCES, SPIKE):
        assert {path for path, _ in source.entries} <= PAGES.keys()
    for agent in AGENTS:
        assert client_facts(agent.user_agent).kind is ClientKind.PERSON
