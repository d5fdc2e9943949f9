"""What a visitor may ask and have removed: their own data, and nobody else's."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.errors import StorageUnavailable
from maicivy.ingest.visitor import COOKIE_NAME
from maicivy.periods import Period, format_instant, utc_now
from maicivy.storage import forgetting, mirror
from maicivy.storage.forgetting import Forgotten, _Removal
from maicivy.web import keys
from tests.conftest import (
    API,
    Client,
    ClientFactory,
    Database,
    FakeClock,
    get_data,
    realtime_of,
    stores_of,
    until,
)

if TYPE_CHECKING:
    import uuid


ME = f"{API}/me"
NOTHING = {"visitor": False, "events": 0}
REPORTS = ("letters?period=day", "realtime", "stats?period=week", "stats?period=month")


async def post(
    client: Client, cookie: str | None = None, kind: str = "button_click", **body: Any
) -> str:
    """Post an event as the browser that has the cookie, or as a new one; return its cookie."""
    client.session.cookie_jar.clear()
    headers = {"Sec-Fetch-Site": "same-origin"}
    if cookie is not None:
        headers["Cookie"] = f"{COOKIE_NAME}={cookie}"
    response = await client.post(f"{API}/event", json={"event_type": kind, **body}, headers=headers)
    assert response.status == 201, await response.text()
    client.session.cookie_jar.clear()
    return cookie or response.cookies[COOKIE_NAME].value


async def ask(client: Client, cookie: str | None, method: str = "GET", query: str = "") -> Any:
    """Return the answer to one request with the cookie."""
    client.session.cookie_jar.clear()
    headers = {"Cookie": f"{COOKIE_NAME}={cookie}"} if cookie else {}
    response = await client.request(method, f"{ME}{query}", headers=headers)
    assert response.status == 200, await response.text()
    return await response.json()


async def forget(client: Client, cookie: str | None) -> Any:
    return (await ask(client, cookie, "DELETE"))["data"]


def visitor_id(client: Client, cookie: str) -> uuid.UUID:
    keyring = client.app[keys.KEYRING]
    identity: uuid.UUID = keyring.visitor_id(keyring.read_cookie(cookie, client.app[keys.CLOCK]()))
    return identity


async def generation(database: Database) -> int:
    return int(await database.fetchval("SELECT copy_generation FROM installation"))


# --- asking ---------------------------------------------------------------------------------------


async def test_a_visitor_sees_everything_of_their_own_and_nothing_else(
    client: Client, database: Database
) -> None:
    mine = await post(
        client,
        event_data={"button": "cta"},
        page_url="/cv",
        referrer="https://example.org/",
        session_duration=7,
    )
    other = await post(client, page_url="/other")
    await post(client, mine, "form_submit")
    answer = await ask(client, mine)
    row = dict(await database.fetchrow("SELECT * FROM visitors WHERE id = $1",
                                       visitor_id(client, mine)) or {})  # fmt: skip
    row |= {"id": str(row["id"])}
    row |= {name: format_instant(row[name]) for name in ("first_visit", "last_visit")}
    assert answer["data"]["visitor"] == row
    assert row["ip_hash"]
    newest, oldest = answer["data"]["events"]
    stored = await database.fetchrow("SELECT * FROM analytics_events WHERE page_url = '/cv'")
    assert stored is not None
    assert json.loads(oldest.pop("event_data")) == {"button": "cta"}
    assert oldest == {
        "id": str(stored["id"]),
        "event_type": "button_click",
        "page_url": "/cv",
        "referrer": "https://example.org/",
        "session_duration": 7,
        "created_at": format_instant(stored["created_at"]),
    }
    assert (newest["event_type"], newest["event_data"]) == ("form_submit", "{}")
    assert answer["meta"] == {"limit": 50, "count": 2, "next_cursor": None}
    [theirs] = (await ask(client, other))["data"]["events"]
    assert theirs["page_url"] == "/other"


async def test_asking_leaves_no_trace(client: Client, database: Database, clock: FakeClock) -> None:
    cookie = await post(client)
    clock.advance(minutes=6)
    for headers in ({}, {"Cookie": f"{COOKIE_NAME}={cookie}"}, {"DNT": "1", "Sec-GPC": "1"}):
        response = await client.get(ME, headers={"Sec-Fetch-Site": "same-origin", **headers})
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store, private"
        assert "Set-Cookie" not in response.headers
    assert (await get_data(client, "realtime"))["current_visitors"] == 0
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 1
    assert await database.fetchval("SELECT count(*) FROM visitors") == 1


async def test_opting_out_does_not_hide_what_is_held(client: Client) -> None:
    cookie = await post(client)
    headers = {"Cookie": f"{COOKIE_NAME}={cookie}", "DNT": "1", "Sec-GPC": "1"}
    answer = await (await client.get(ME, headers=headers)).json()
    assert len(answer["data"]["events"]) == 1
    answer = await (await client.delete(ME, headers=headers)).json()
    assert answer["data"] == {"visitor": True, "events": 1}


async def test_active_and_the_end_of_the_cookie(
    make_client: ClientFactory, clock: FakeClock
) -> None:
    clock.freeze(dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC))
    client = await make_client(trusted=False)
    cookie = await post(client)
    data = (await ask(client, cookie))["data"]
    assert (data["active"], data["cookie_expires_at"]) == (True, "2026-12-24T12:00:00Z")
    clock.advance(minutes=5)
    data = (await ask(client, cookie))["data"]
    assert (data["active"], data["cookie_expires_at"]) == (False, "2026-12-24T12:00:00Z")


async def test_pages_that_do_not_shift(client: Client) -> None:
    cookie = await post(client, page_url="/0")
    for n in range(1, 5):
        await post(client, cookie, page_url=f"/{n}")
        await post(client, page_url="/somebody-else")
    seen, query = [], "?limit=2"
    while True:
        answer = await ask(client, cookie, query=query)
        seen += [event["page_url"] for event in answer["data"]["events"]]
        await post(client, cookie, page_url="/later")
        if answer["meta"]["next_cursor"] is None:
            break
        query = f"?limit=2&cursor={answer['meta']['next_cursor']}"
    assert seen == ["/4", "/3", "/2", "/1", "/0"]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor="])
async def test_wrong_parameters(client: Client, query: str) -> None:
    response = await client.get(f"{ME}?{query}")
    assert (response.status, (await response.json())["code"]) == (400, "invalid_parameter")


async def test_a_cookie_that_is_none_of_ours_finds_nothing(
    client: Client, database: Database
) -> None:
    good = await post(client)
    last = "A" if good[-1] != "A" else "B"
    for forgery in (None, "x", good[:-1] + last, good.swapcase(), "A" * 48):
        answer = await ask(client, forgery)
        assert answer["data"] == {
            "visitor": None, "active": False, "cookie_expires_at": None, "events": [],
        }  # fmt: skip
        assert answer["meta"] == {"limit": 50, "count": 0, "next_cursor": None}
        assert await forget(client, forgery) == NOTHING
    assert await database.fetchval("SELECT count(*) FROM visitors") == 1
    assert await generation(database) == 0


# --- being forgotten ------------------------------------------------------------------------------


async def test_nothing_is_held_afterwards_and_every_instance_counts_anew(
    make_client: ClientFactory, database: Database, redis_client: Any
) -> None:
    one, two = await make_client(), await make_client()
    mine = await post(one, kind="letter_generate", event_data={"letter_type": "motivation"})
    await post(one, mine, "cv_theme_change", event_data={"theme": "backend"})
    other = await post(two, page_url="/other")
    totals = [
        await database.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")
        for table in ("rollup_events", "rollup_letters", "rollup_themes", "theme_totals")
    ]
    before = {path: await get_data(two, path) for path in REPORTS}
    assert before["realtime"]["current_visitors"] == before["realtime"]["unique_today"] == 2
    assert await forget(one, mine) == {"visitor": True, "events": 2}
    for client in (two, one):
        for path in REPORTS:  # the one that asks for nothing but unique visitors comes first
            now = await get_data(client, path)
            corrected = {"unique_visitors": 1, "unique_today": 1, "current_visitors": 1}
            changed = {name: corrected[name] for name in now if name in corrected}
            told = {name: now[name] for name in changed}
            assert told == changed, path
            for name in ("total_events", "letters_generated", "total"):
                assert now.get(name) == before[path].get(name), path
    own = visitor_id(one, mine)
    assert await redis_client.zscore("analytics:realtime:visitors", str(own)) is None
    assert await database.fetchval("SELECT count(*) FROM visitors WHERE id = $1", own) == 0
    assert await database.fetchval(
        "SELECT count(*) FROM analytics_events WHERE visitor_id = $1", own
    ) == 0  # fmt: skip
    assert totals == [
        await database.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")
        for table in ("rollup_events", "rollup_letters", "rollup_themes", "theme_totals")
    ]
    await until(lambda: realtime_of(one).trusted and realtime_of(two).trusted)
    assert await stores_of(one).verifier.verify() == []
    assert await redis_client.pfcount(f"analytics:visitors:unique:day:{utc_now().date()}") == 1
    assert [event["page_url"] for event in (await ask(one, other))["data"]["events"]] == ["/other"]
    assert (await ask(two, mine))["data"]["visitor"] is None


async def test_the_cookie_ends_and_a_second_time_does_no_harm(
    client: Client, database: Database
) -> None:
    cookie = await post(client)
    headers = {"Cookie": f"{COOKIE_NAME}={cookie}"}
    answers = []
    for _ in range(2):
        response = await client.delete(ME, headers=headers)
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store, private"
        ended = response.cookies[COOKIE_NAME]
        assert (ended.value, ended["max-age"], ended["path"]) == ("", "0", "/")
        assert (ended["httponly"], ended["samesite"]) == (True, "Lax")
        answers.append((await response.json())["data"])
    assert answers == [{"visitor": True, "events": 1}, NOTHING]
    assert await generation(database) == 2  # the bite and the rest; nothing the second time


async def test_whoever_was_alone_leaves_a_copy_that_is_whole(client: Client) -> None:
    """The day has events and no visitor: its missing sketch is no loss to be mended for ever."""
    await forget(client, await post(client))
    await until(lambda: realtime_of(client).trusted)
    look = await stores_of(client).mirror._look(utc_now())
    assert look.whole
    assert (await get_data(client, "realtime"))["unique_today"] == 0
    assert await stores_of(client).verifier.verify() == []


async def test_redis_is_away_and_comes_back(
    make_client: ClientFactory, database: Database, redis_client: Any
) -> None:
    cut_off = await make_client(redis="unix:///nowhere/redis.sock", trusted=False)
    client = await make_client()
    cookie = await post(client)
    await post(client)
    assert await forget(cut_off, cookie) == {"visitor": True, "events": 1}
    assert (await get_data(cut_off, "realtime"))["unique_today"] == 1
    # that process could not tell Redis, so this one sees it by the generation
    await stores_of(client).mirror.check()
    assert await redis_client.pfcount(f"analytics:visitors:unique:day:{utc_now().date()}") == 1
    assert (await get_data(client, "realtime"))["current_visitors"] == 1
    assert await stores_of(client).verifier.verify() == []


async def test_reports_count_what_all_other_totals_count(client: Client) -> None:
    """Also of a visitor who is forgotten before anybody has asked for a report."""
    cookie = await post(client)
    await post(client, cookie)
    await forget(client, cookie)
    told = await get_data(client, "sessions/summary?period=day")
    assert told["events"] == (await get_data(client, "stats?period=day"))["total_events"] == 2


async def test_a_program_that_dies_before_it_tells_redis(
    make_client: ClientFactory, redis_client: Any
) -> None:
    client = await make_client()
    cookie = await post(client)
    await post(client)
    stores, zone = stores_of(client), client.app[keys.CONFIG].timezone
    removal = _Removal(stores.postgres, stores.visits, zone, visitor_id(client, cookie))
    assert await removal.bite(utc_now()) == 1
    assert await removal.finish() == Forgotten(visitor=True, events=1)
    await client.close()
    assert await redis_client.pfcount(f"analytics:visitors:unique:day:{utc_now().date()}") == 2
    again = await make_client()
    assert await stores_of(again).verifier.verify() == []
    assert (await get_data(again, "realtime"))["unique_today"] == 1


async def test_a_process_that_dies_while_it_fills_leaves_a_copy_that_nobody_believes(
    client: Client, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = await post(client)
    await post(client)
    own_mirror = stores_of(client).mirror

    async def dies(_: object) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(own_mirror, "_fill_totals", dies)
        await forget(client, cookie)
        await until(lambda: redis_client.exists("analytics:epoch"))
        assert len((await redis_client.get("analytics:epoch")).split(":")) == 4
        assert (await get_data(client, "realtime"))["unique_today"] == 1
        assert not realtime_of(client).trusted
    await until(lambda: realtime_of(client).trusted)
    assert await stores_of(client).verifier.verify() == []


async def test_a_write_that_comes_late_from_another_process(
    make_client: ClientFactory, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    """Committed before the visitor was forgotten, told to Redis after the copy was made anew."""
    one, late = await make_client(), await make_client()
    cookie = await post(one)
    await post(one)
    realtime, go_on = realtime_of(late), asyncio.Event()
    refresh = realtime.refresh

    async def later(*values: Any) -> Any:
        await go_on.wait()
        return await refresh(*values)

    monkeypatch.setattr(realtime, "refresh", later)
    posting = asyncio.create_task(post(late, cookie))
    counted = "SELECT count(*) FROM analytics_events"

    async def committed() -> bool:
        return bool(await database.fetchval(counted) == 3)

    await until(committed)
    assert await forget(one, cookie) == {"visitor": True, "events": 2}
    await until(lambda: realtime_of(one).trusted and realtime.trusted)
    go_on.set()
    await posting
    await until(lambda: realtime.strays() == stores_of(late).mirror._strays)
    await until(lambda: realtime_of(one).trusted and realtime.trusted)
    assert await stores_of(one).verifier.verify() == []
    assert (await get_data(one, "realtime"))["unique_today"] == 1


async def test_many_at_once_are_filled_in_once(
    client: Client, database: Database, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "DEADLINE_SECONDS", 0)
    cookies = [await post(client) for _ in range(6)]
    refills = client.app[keys.METRICS].redis_refills._value
    async with database.transaction():
        # as another process that fills Redis would
        assert await database.fetchval(stores_of(client).postgres.statement("lock_filling"))
        before = refills.get()
        for cookie in cookies[1:]:
            assert await forget(client, cookie) == {"visitor": True, "events": 1}
            assert not realtime_of(client).trusted
            active = await redis_client.zrange("analytics:realtime:visitors", 0, -1)
            assert str(visitor_id(client, cookie)) not in active
        assert len(active) == 1
        assert (await get_data(client, "realtime"))["unique_today"] == 1
        with pytest.raises(StorageUnavailable, match="another process"):
            await stores_of(client).mirror.check()
        assert await redis_client.exists("analytics:epoch") == 0
    await until(lambda: realtime_of(client).trusted)
    assert 1 <= refills.get() - before <= 2
    assert await stores_of(client).verifier.verify() == []


async def test_a_day_that_begins_while_redis_is_filled(
    make_client: ClientFactory, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Visitors of the new day are deleted with the others, and must be filled in as well."""
    clock.freeze(dt.datetime(2026, 11, 24, 23, 59, 59, tzinfo=dt.UTC))
    client = await make_client()
    cookie = await post(client)
    own_mirror = stores_of(client).mirror
    make_room, fill_totals = own_mirror._make_room, own_mirror._fill_totals
    jumps = [86_400, 1]

    async def jump() -> None:
        if jumps:
            clock.advance(seconds=jumps.pop())
            await post(client)

    async def midnight_before_room_is_made(*values: Any) -> Any:
        await jump()
        return await make_room(*values)

    async def midnight_after_it_was_made(*values: Any) -> Any:
        await jump()
        return await fill_totals(*values)

    monkeypatch.setattr(own_mirror, "_make_room", midnight_before_room_is_made)
    monkeypatch.setattr(own_mirror, "_fill_totals", midnight_after_it_was_made)
    await forget(client, cookie)
    await until(lambda: realtime_of(client).trusted and not jumps)
    assert await stores_of(client).verifier.verify() == []
    assert (await get_data(client, "realtime"))["unique_today"] == 1


async def test_events_of_the_same_visitor_meanwhile(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "BITE_ROWS", 3)
    cookie = await post(client)
    over = asyncio.Event()

    async def keep_posting() -> int:
        count = 0
        while not over.is_set():
            await post(client, cookie)
            count += 1
        return count

    posting = [asyncio.create_task(keep_posting()) for _ in range(4)]
    removed = 0
    for _ in range(12):
        removed += (await forget(client, cookie))["events"]
    over.set()
    posted = 1 + sum(await asyncio.gather(*posting))
    left = await database.fetchval("SELECT count(*) FROM analytics_events")
    assert (posted, removed > 0) == (removed + left, True)
    assert (await get_data(client, "realtime"))["total_events"] == posted
    assert await forget(client, cookie) == {"visitor": left > 0, "events": left}
    await until(lambda: realtime_of(client).trusted)
    assert await stores_of(client).verifier.verify() == []
    assert (await get_data(client, "realtime"))["unique_today"] == 0


async def test_the_same_visitor_twice_at_once(client: Client, database: Database) -> None:
    cookie = await post(client)
    for _ in range(9):
        await post(client, cookie)
    answers = await asyncio.gather(*(forget(client, cookie) for _ in range(5)))
    assert sum(answer["events"] for answer in answers) == 10
    assert [answer["visitor"] for answer in answers].count(True) == 1
    assert await database.fetchval("SELECT count(*) FROM visitors") == 0


async def test_closed_days_are_counted_anew(
    make_client: ClientFactory, database: Database, redis_client: Any, clock: FakeClock
) -> None:
    start = dt.datetime(2026, 11, 2, 12, tzinfo=dt.UTC)  # a Monday
    clock.freeze(start)
    client = await make_client()
    mine, other = await post(client), await post(client)
    clock.freeze(start + dt.timedelta(days=2))
    await post(client, mine)
    await post(client)
    clock.freeze(start + dt.timedelta(days=9))
    await post(client, other)
    stores = stores_of(client)
    await stores.mirror.sketch_closed_days()
    sketched = "SELECT count(*) FROM unique_sketches"
    assert await database.fetchval(sketched) == 2

    async def unique(period: Period, day: str) -> int:
        key = f"analytics:visitors:unique:{period}:{period.key(dt.date.fromisoformat(day))}"
        return int(await redis_client.pfcount(key))

    days = ("2026-11-02", "2026-11-04", "2026-11-11")
    assert [await unique(Period.DAY, day) for day in days] == [2, 2, 1]
    assert await forget(client, mine) == {"visitor": True, "events": 2}
    await until(lambda: realtime_of(client).trusted)
    assert [await unique(Period.DAY, day) for day in days] == [1, 1, 1]
    assert await unique(Period.WEEK, "2026-11-02") == 2
    assert await unique(Period.MONTH, "2026-11-01") == 2
    assert await database.fetchval(sketched) == 2
    assert await stores.verifier.verify() == []


async def test_a_sketch_that_was_begun_before_is_not_kept(
    client: Client, database: Database
) -> None:
    postgres, before = stores_of(client).postgres, await generation(database)
    await forget(client, await post(client))
    await postgres.write("insert_sketch", dt.date(2026, 1, 1), b"HYLL", before)
    assert await database.fetchval("SELECT count(*) FROM unique_sketches") == 0
    await postgres.write("insert_sketch", dt.date(2026, 1, 1), b"HYLL", await generation(database))
    assert await database.fetchval("SELECT count(*) FROM unique_sketches") == 1


# --- who may, and how often -----------------------------------------------------------------------


async def test_pages_of_other_sites_may_not(make_client: ClientFactory) -> None:
    friend = "https://www.example.org"
    client = await make_client(allowed_origins=(friend,))
    cookie = await post(client)
    headers = {"Cookie": f"{COOKIE_NAME}={cookie}"}
    response = await client.delete(ME, headers=headers | {"Origin": "https://elsewhere.example"})
    assert (response.status, (await response.json())["code"]) == (403, "origin_not_allowed")
    assert "Access-Control-Allow-Origin" not in response.headers
    assert len((await ask(client, cookie))["data"]["events"]) == 1
    asked = {"Origin": friend, "Access-Control-Request-Method": "DELETE"}
    preflight = await client.options(ME, headers=asked)
    assert preflight.status == 204
    assert "DELETE" in preflight.headers["Access-Control-Allow-Methods"].split(", ")
    response = await client.delete(ME, headers=headers | {"Origin": friend})
    assert (await response.json())["data"] == {"visitor": True, "events": 1}
    assert response.headers["Access-Control-Allow-Origin"] == friend


async def test_they_share_the_rate_limit_of_events(make_client: ClientFactory) -> None:
    client = await make_client(event_rate_limit=3)
    cookie = await post(client)
    headers = {"Cookie": f"{COOKIE_NAME}={cookie}"}
    assert (await client.get(ME, headers=headers)).headers["X-RateLimit-Remaining"] == "1"
    assert (await client.get(f"{ME}?limit=0")).headers["X-RateLimit-Remaining"] == "0"
    for method in ("GET", "DELETE"):
        response = await client.request(method, ME, headers=headers)
        assert (response.status, (await response.json())["code"]) == (429, "rate_limited")
        assert int(response.headers["Retry-After"]) > 0
    metrics = await (await client.get("/metrics")).text()
    assert 'reason="rate_limited"} 1.0' not in metrics


async def test_a_database_that_cannot_answer(client: Client, database: Database) -> None:
    cookie = await post(client)
    headers = {"Cookie": f"{COOKIE_NAME}={cookie}"}
    async with database.transaction():
        await database.execute("LOCK TABLE visitors IN ACCESS EXCLUSIVE MODE")
        responses = await asyncio.gather(
            client.get(ME, headers=headers), client.delete(ME, headers=headers)
        )
    for response in responses:
        assert (response.status, (await response.json())["code"]) == (503, "unavailable")
        assert "Set-Cookie" not in response.headers
    assert await forget(client, cookie) == {"visitor": True, "events": 1}
    await until(lambda: realtime_of(client).trusted)
    assert await stores_of(client).verifier.verify() == []
