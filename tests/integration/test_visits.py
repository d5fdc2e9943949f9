"""Reports from visits and rollups, compared with the same numbers counted from the events."""

from __future__ import annotations

import collections
import csv
import datetime as dt
import io
import random
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import pytest

from maicivy.ingest.batch import batch_arguments, utc_days
from maicivy.periods import day_start, local_day
from maicivy.storage import visits as visits_module
from maicivy.web import keys
from tests.conftest import (
    API,
    Client,
    ClientFactory,
    Database,
    first_cleanup,
    get_data,
    send_event,
    stores_of,
)
from tests.integration.oracle import World

if TYPE_CHECKING:
    from tests.conftest import FakeClock

PARIS = ZoneInfo("Europe/Paris")
TODAY = dt.date(2026, 11, 26)
FIRST = TODAY - dt.timedelta(days=5)
NOW = dt.datetime(2026, 11, 26, 22, 30, tzinfo=dt.UTC)

SPANS = [(FIRST, TODAY), (TODAY, TODAY), (FIRST + dt.timedelta(days=1), FIRST + dt.timedelta(3))]
FILTERS: list[dict[str, str]] = [
    {},
    {"source": "Google"},
    {"browser": "Chrome", "device": "mobile"},
    {"path": "/cv"},
    {"event_type": "signup"},
    {"theme": "backend"},
    {"os": "iOS", "path": "/blog/a", "event_type": "page_view"},
]


class Site:
    """The program with a world's events stored in it, a few at a time."""

    def __init__(self, client: Client, world: World) -> None:
        self.client, self.world = client, world

    async def store(self) -> None:
        stores, chance, events = stores_of(self.client), random.Random(7), self.world.events
        first = 0
        while first < len(events):
            batch = events[first : first + chance.choice((1, 2, 5, 40))]
            await stores.partitions.ensure(utc_days(batch))
            await stores.postgres.write("insert_batch", *batch_arguments(batch))
            if chance.random() < 0.3:
                await stores.visits.catch_up()
            first += len(batch)

    async def ask(self, report: str, span: tuple[dt.date, dt.date], /, **more: str) -> Any:
        asked = {"from": span[0].isoformat(), "to": span[1].isoformat(), **more}
        return await get_data(self.client, f"{report}?{urlencode(asked)}")


MakeSite: TypeAlias = Callable[..., Awaitable[Site]]


@pytest.fixture
def make_site(make_client: ClientFactory, clock: FakeClock, database: Database) -> MakeSite:
    async def make(**settings: Any) -> Site:
        clock.freeze(NOW)
        client = await make_client(timezone=PARIS, **settings)
        # it packs visits of closed days, and what follows in them would begin new ones
        await first_cleanup(database)
        site = Site(client, World(PARIS, FIRST, 6))
        await site.store()
        return site

    return make


@pytest.fixture
async def site(make_site: MakeSite) -> Site:
    return await make_site(min_group=1)


async def check_all(site: Site) -> int:
    """Compare every report with what the events say; return how many numbers were compared."""
    world, rows = site.world, 0
    for span in SPANS:
        for filters in FILTERS:
            asked = {"limit": "100", **filters}
            summary = await site.ask("sessions/summary", span, **filters)
            assert summary == world.summary(*span, filters), (span, filters)
            pages = await site.ask("pages", span, **asked)
            assert pages == world.pages(*span, filters), (span, filters)
            for by in ("source", "utm_source"):
                found = await site.ask("sources", span, by=by, **asked)
                assert found == world.by_visit(by, *span, filters), (span, filters, by)
            for by in ("browser", "os", "device", "language", "screen"):
                found = await site.ask("devices", span, by=by, **asked)
                assert found == world.by_visit(by, *span, filters), (span, filters, by)
                rows += len(found)
            found = await site.ask("events", span, **asked)
            assert found == world.by_event(*span, filters), (span, filters)
            found = await site.ask("themes", span, **(asked | {"limit": "20"}))
            assert found == world.themes(*span, filters), (span, filters)
            for name in (None, "plan"):
                of = {"property": name} if name else {}
                found = await site.ask("events/signup/properties", span, **asked, **of)
                assert found == world.properties(name, *span, filters), (span, filters, name)
            rows += len(pages) + len(found)
    return rows


async def test_every_report_says_what_the_events_say(site: Site) -> None:
    assert await check_all(site) > 200


async def test_packed_visits_say_the_same(site: Site, database: Database) -> None:
    await stores_of(site.client).visits.catch_up()
    packed = await stores_of(site.client).visits.pack(NOW)
    assert packed == sum(visit.day < TODAY for visit in site.world.visits()) > 50
    assert await database.fetchval("SELECT max(day) = min(day) FROM visits") is True
    assert await check_all(site) > 200


async def test_a_day_is_packed_when_all_of_it_is_folded(
    site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits_module, "PACK_EVENTS", 100)
    monkeypatch.setattr(visits_module, "BITE_EVENTS", 40)
    for table in ("visits", "visitor_marks", "rollup_values", "rollup_hours", "rollup_durations"):
        await database.execute(f"DELETE FROM {table}")
    await database.execute(
        "INSERT INTO unfolded_events (first_at, last_at, events) "
        "SELECT min(created_at), max(created_at), count(*) FROM events "
        "GROUP BY date_trunc('hour', created_at) ORDER BY 1"
    )
    packed = await stores_of(site.client).visits.fold_and_pack(NOW)
    assert packed == sum(visit.day < TODAY for visit in site.world.visits())
    assert await check_all(site) > 200


async def test_unpacked_visits_are_as_they_were(site: Site, database: Database) -> None:
    visits = stores_of(site.client).visits
    await visits.catch_up()
    columns = (
        "visitor_id, day, started_at, last_at, entry, exit, source, utm_source, utm_medium, "
        "utm_campaign, browser, os, device, language, screen, events, page_views, actions, "
        "letters, (SELECT array_agg(f ORDER BY f::text) "
        "FROM unnest(types, paths, themes, counts, seconds) AS f)"
    )
    rows = f"SELECT {columns} FROM visits ORDER BY started_at, visitor_id"
    before = await database.fetch(rows)
    await visits.pack(NOW)
    await database.execute("SELECT unpack_visits(id) FROM visit_blocks")
    assert await database.fetchval("SELECT count(*) FROM visit_blocks") == 0
    assert await database.fetch(rows) == before


@pytest.mark.parametrize("packed", [False, True])
async def test_a_forgotten_visitor_is_in_no_visit(
    site: Site, database: Database, *, packed: bool
) -> None:
    stores = stores_of(site.client)
    await stores.visits.catch_up()
    if packed:
        await stores.visits.pack(NOW)
    count = collections.Counter(visit.visitor for visit in site.world.visits())
    [(visitor, visits)] = count.most_common(1)
    all_rows = (
        "SELECT count(*) FROM visits_between('2000-01-01', '2100-01-01', NULL, NULL, NULL, NULL)"
    )
    before = await database.fetchval(all_rows)
    await stores.forgetting.forget(uuid.UUID(visitor))
    assert await database.fetchval(all_rows) == before - visits
    left = site.world.without(visitor)
    for span in SPANS:
        told = await site.ask("sessions/summary", span)
        assert told["visitors"] == left.summary(*span, {})["visitors"]
        assert told["events"] == site.world.summary(*span, {})["events"]
        for report, by in (("pages", "path"), ("events", "name"), ("themes", "theme")):
            rows = await site.ask(report, span, limit="20")
            expected = {"pages": left.pages, "events": left.by_event, "themes": left.themes}
            assert {row[by]: row["visitors"] for row in rows} == {
                row[by]: row["visitors"] for row in expected[report](*span, {})
            }
        rows = await site.ask("devices", span, by="browser", browser="Chrome")
        assert rows == left.by_visit("browser", *span, {"browser": "Chrome"})
    for table in ("visits", "visitor_marks"):
        found = await database.fetchval(
            f"SELECT count(*) FROM {table} WHERE visitor_id = $1", uuid.UUID(visitor)
        )
        assert found == 0, table
    assert not await database.fetchval(
        "SELECT count(*) FROM visit_blocks WHERE $1 = ANY(visitor_ids)", uuid.UUID(visitor)
    )


async def test_days_and_hours_add_up(site: Site) -> None:
    world = site.world
    for filters in FILTERS[:4]:
        for metric in ("visitors", "visits", "events", "page_views", "letters"):
            rows = await site.ask("timeseries", SPANS[0], metric=metric, interval="day", **filters)
            assert [row["start"][:10] for row in rows] == [
                (FIRST + dt.timedelta(n)).isoformat() for n in range(6)
            ]
            for n, row in enumerate(rows):
                day = FIRST + dt.timedelta(n)
                has_any = world.kept(day, day, filters)
                expected = world.summary(day, day, filters)[metric] if has_any else 0
                assert row["value"] == expected, (filters, metric, day)
            hours = await site.ask(
                "timeseries", SPANS[0], metric=metric, interval="hour", **filters
            )
            assert len(hours) == 6 * 24
            total = world.summary(*SPANS[0], filters)[metric]
            if metric != "visitors":
                assert sum(row["value"] for row in hours) == total


async def test_visitors_of_hours(site: Site) -> None:
    hours = await site.ask("timeseries", SPANS[0], metric="visitors", interval="hour")
    seen: dict[str, set[str]] = collections.defaultdict(set)
    for event in site.world.events:
        local = event.moment.instant.astimezone(PARIS).replace(minute=0, second=0, microsecond=0)
        seen[local.isoformat()].add(event.visitor.id)
    assert {row["start"]: row["value"] for row in hours if row["value"]} == {
        start: len(visitors) for start, visitors in seen.items()
    }


async def test_weeks_are_cut_where_the_span_is(site: Site) -> None:
    rows = await site.ask("timeseries", SPANS[0], metric="visitors", interval="week")
    monday = dt.date(2026, 11, 23)
    before, after = (FIRST, monday - dt.timedelta(1)), (monday, TODAY)
    assert rows == [
        {
            "start": day_start(span[0], PARIS).astimezone(PARIS).isoformat(),
            "value": site.world.summary(*span, {})["visitors"],
        }
        for span in (before, after)
    ]
    [month] = await site.ask("timeseries", SPANS[0], metric="visitors", interval="month")
    assert month["value"] == site.world.summary(*SPANS[0], {})["visitors"]


async def test_the_span_before(site: Site) -> None:
    span = (TODAY - dt.timedelta(1), TODAY)
    earlier = (TODAY - dt.timedelta(3), TODAY - dt.timedelta(2))
    found = await site.ask("sessions/summary", span, compare="previous")
    assert found["previous"] == site.world.summary(*earlier, {})
    pages = await site.ask("pages", span, compare="previous", limit="100")
    before = {row["path"]: row for row in site.world.pages(*earlier, {})}
    assert any(row["path"] in before for row in pages)
    for row in pages:
        path, then = row["path"], row["previous"]
        assert then["visitors"] == before.get(path, {"visitors": 0})["visitors"]
    chrome = {"browser": "Chrome"}
    plans = {row["value"]: row for row in site.world.properties("plan", *earlier, chrome)}
    for row in await site.ask(
        "events/signup/properties", span, property="plan", compare="previous", **chrome
    ):
        then = plans.get(row["value"], {"visitors": 0, "events": 0})
        assert row["previous"] == {"visitors": then["visitors"], "events": then["events"]}
    days = await site.ask("timeseries", span, metric="events", interval="day", compare="previous")
    assert [row["previous"] for row in days] == [
        site.world.summary(day, day, {})["events"] for day in earlier
    ]


@pytest.mark.parametrize("packed", [False, True])
async def test_today_is_compared_with_yesterday_until_the_same_time(
    site: Site, clock: FakeClock, *, packed: bool
) -> None:
    clock.freeze(dt.datetime(2026, 11, 26, 15, 7, 40, tzinfo=dt.UTC))
    until = dt.datetime(2026, 11, 25, 15, 7, tzinfo=dt.UTC)
    if packed:
        await stores_of(site.client).visits.fold_and_pack(NOW)
    day = TODAY - dt.timedelta(1)
    before, whole = site.world.until(until), site.world.summary(day, day, {})
    for filters in FILTERS:
        query = urlencode({"period": "day", "compare": "previous", **filters})
        response = await site.client.get(f"{API}/sessions/summary?{query}")
        body = await response.json()
        assert body["meta"]["compare"]["until"] == "2026-11-25T16:07:00+01:00"
        then = body["data"]["previous"]
        assert then == before.summary(day, day, filters | {"exact": "yes"}), filters
        assert 0 < then["visits"] < whole["visits"]
    found = await site.ask("sessions/summary", (FIRST, TODAY), compare="previous")
    assert found["previous"]["visits"] == 0


async def test_small_groups_are_one_row(make_site: MakeSite) -> None:
    site = await make_site()
    everything = site.world.pages(TODAY, TODAY, {})
    large = [row for row in everything if row["visitors"] >= 3]
    small = [row for row in everything if row["visitors"] < 3]
    rows = await site.ask("pages", (TODAY, TODAY))
    assert rows[:-1] == large if small else rows == large
    yesterday = TODAY - dt.timedelta(1)
    before = {row["path"]: row["visitors"] for row in site.world.pages(yesterday, yesterday, {})}
    compared = await site.ask("pages", (TODAY, TODAY), compare="previous")
    assert any(row["previous"]["visitors"] is None for row in compared)
    for row in compared:
        enough = row["path"] != "(other)" and before.get(row["path"], 0) >= 3
        assert row["previous"]["visitors"] == (before[row["path"]] if enough else None)
    for filters in ({"browser": "Safari"}, {"path": "/cv"}):
        for row in await site.ask("sources", (TODAY, TODAY), **filters):
            assert row["visitors"] >= 3 or row["name"] == "(other)"


async def test_pages_of_a_list(site: Site) -> None:
    query = f"pages?from={FIRST}&to={TODAY}&limit=2"
    whole: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        response = await site.client.get(f"{API}/{query}{cursor}")
        body = await response.json()
        whole += body["data"]
        after = body["meta"]["next_cursor"]
        cursor = f"&cursor={quote(after)}" if after else None
    assert whole == site.world.pages(FIRST, TODAY, {})


async def test_csv_has_the_same_numbers(site: Site) -> None:
    for path, more in (("pages", ""), ("sessions/summary", ""), ("timeseries", "&metric=events")):
        query = f"{path}?from={FIRST}&to={TODAY}{more}"
        rows = await get_data(site.client, query)
        rows = rows if isinstance(rows, list) else [rows]
        for asked in (
            await site.client.get(f"{API}/{query}&format=csv"),
            await site.client.get(f"{API}/{query}", headers={"Accept": "text/csv"}),
        ):
            assert asked.headers["Content-Type"] == "text/csv; charset=utf-8"
            table = list(csv.DictReader(io.StringIO(await asked.text())))
            told = [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows]
            assert table == told


async def test_a_formula_is_no_formula_in_csv(make_client: ClientFactory) -> None:
    client = await make_client(min_group=1)
    await send_event(client, "page_view", page_url="=cmd()|x")
    response = await client.get(f"{API}/pages?period=day&format=csv")
    assert "'=cmd()|x,1,1," in await response.text()


@pytest.mark.parametrize("what", ["visitors", "themes", "letters", "events"])
async def test_exports(site: Site, what: str) -> None:
    query = f"export/{what}?from={FIRST}&to={TODAY}"
    rows = await get_data(site.client, query)
    response = await site.client.get(f"{API}/{query}&format=csv")
    assert f'filename="{what}-{FIRST}-{TODAY}.csv"' in response.headers["Content-Disposition"]
    assert len(list(csv.reader(io.StringIO(await response.text())))) == len(rows) + 1
    world = site.world
    if what == "events":
        assert [row["id"] for row in rows] == [event.id for event in world.events]
    elif what == "visitors":
        assert [row["events"] for row in rows] == [
            sum(event.moment.day == FIRST + dt.timedelta(n) for event in world.events)
            for n in range(6)
        ]
    elif what == "letters":
        letters = sum(event.letter_type == "motivation" for event in world.events)
        assert sum(row["motivation"] for row in rows) == letters > 0
    else:
        assert rows == world.themes(FIRST, TODAY, {})


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("pages", "period"),
        ("pages?period=year", "period"),
        ("pages?from=2026-11-01", "to"),
        ("pages?to=2026-11-01", "from"),
        ("pages?from=2026-11-31&to=2026-12-01", "from"),
        ("pages?from=2026-11-02&to=2026-11-01", "from"),
        ("pages?from=2026-11-02&to=2026-11-27", "to"),
        ("pages?from=2025-01-01&to=2026-11-01", "from"),
        ("pages?from=2026-08-01&to=2026-11-01&path=/cv", "from"),
        ("pages?period=day&from=2026-11-01&to=2026-11-01", "period"),
        ("pages?period=day&limit=0", "limit"),
        ("pages?period=day&cursor=x", "cursor"),
        ("pages?period=day&compare=next", "compare"),
        ("pages?period=day&format=xml", "format"),
        ("pages?period=day&path=", "path"),
        ("pages?period=day&source=a&source=b", "source"),
        ("devices?period=day", "by"),
        ("devices?period=day&by=colour", "by"),
        ("sources?period=day&by=browser", "by"),
        ("timeseries?period=day", "metric"),
        ("timeseries?period=day&metric=clicks", "metric"),
        ("timeseries?period=day&metric=visits&interval=minute", "interval"),
        ("timeseries?from=2026-11-01&to=2026-11-09&metric=visits&interval=hour", "interval"),
        ("events/x/properties", "period"),
        ("export/visitors", "period"),
    ],
)
async def test_wrong_parameters_are_named(
    make_client: ClientFactory, clock: FakeClock, query: str, name: str
) -> None:
    clock.freeze(NOW)
    client = await make_client()
    response = await client.get(f"{API}/{query}")
    body = await response.json()
    assert response.status == 400, body
    assert name in body["error"]
    assert body["code"] in ("invalid_parameter", "missing_parameter")


async def test_unknown_exports_are_not_found(client: Client) -> None:
    response = await client.get(f"{API}/export/passwords?period=day")
    assert response.status == 404


async def test_a_report_knows_what_was_just_stored(client: Client) -> None:
    for n in range(1, 4):
        await send_event(client, "page_view", page_url="/now")
        found = await get_data(client, "sessions/summary?period=day")
        assert (found["page_views"], found["visitors"], found["visits"]) == (n, 1, 1)


async def test_events_that_cannot_be_folded_take_no_report_away(
    client: Client, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await send_event(client, "page_view", page_url="/")
    await get_data(client, "sessions/summary?period=day")
    await database.execute("ALTER TABLE rollup_hours ADD CHECK (views < 2)")
    await send_event(client, "page_view", page_url="/")
    found = await get_data(client, "sessions/summary?period=day")
    assert found["page_views"] == 1
    assert "events cannot be folded" in caplog.text
    assert await client.app[keys.CLEANUP].run_once() is not None, (
        "what is expired goes all the same"
    )
    assert "visits not brought up to date" in caplog.text


async def test_who_lies_about_attention_stops_nobody(client: Client) -> None:
    lie = {"event_type": "page_leave", "page_url": "/", "session_duration": 2**31 - 1}
    for _ in range(60):
        response = await client.post(f"{API}/events", json={"events": [lie] * 500})
        assert response.status in (200, 201)
    await send_event(client, "page_view", page_url="/")
    found = await get_data(client, "sessions/summary?period=day")
    assert (found["events"], found["page_views"]) == (30_001, 1)


async def test_reports_are_made_while_another_process_folds(
    client: Client, database: Database
) -> None:
    await send_event(client, "page_view", page_url="/")
    await get_data(client, "sessions/summary?period=day")
    await send_event(client, "page_view", page_url="/")
    async with database.transaction():
        await database.execute("SELECT pg_advisory_xact_lock(hashtext('maicivy.visits'))")
        found = await get_data(client, "sessions/summary?period=day")
        assert found["page_views"] == 1, "after a moment, with what is known"
    found = await get_data(client, "sessions/summary?period=day")
    assert found["page_views"] == 2


async def test_old_visits_go_with_their_events(site: Site, database: Database) -> None:
    visits = stores_of(site.client).visits
    await visits.catch_up()
    await visits.pack(NOW)
    cutoff = day_start(FIRST + dt.timedelta(2), PARIS) + dt.timedelta(hours=1)
    removed = await visits.expire(cutoff, NOW)
    days = [visit.day for visit in site.world.visits()]
    assert removed == sum(day <= local_day(cutoff, PARIS) for day in days) > 0
    assert await database.fetchval("SELECT min(day) FROM visit_blocks") > local_day(cutoff, PARIS)
    oldest = await database.fetchval("SELECT min(day) FROM rollup_values")
    assert oldest == min(days), "totals name nobody and stay"
    await visits.expire(NOW - dt.timedelta(90), NOW + dt.timedelta(days=500))
    for table in ("rollup_values", "rollup_hours", "rollup_durations", "visitor_marks"):
        assert await database.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_a_thousand_values_of_a_dimension_a_day(client: Client, database: Database) -> None:
    for first in range(0, 1_200, 100):
        events = [
            {"event_type": "page_view", "page_url": f"/p{n}"} for n in range(first, first + 100)
        ]
        response = await client.post(f"{API}/events", json={"events": events})
        assert response.status in (200, 201)
        await stores_of(client).visits.catch_up()
    paths = "SELECT count(*) FROM rollup_values WHERE dimension = 'path'"
    assert await database.fetchval(paths) == 1_001
    found = await get_data(client, "sessions/summary?period=day")
    assert found["page_views"] == 1_200
