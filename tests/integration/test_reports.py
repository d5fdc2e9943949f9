"""The six questions: parameters, pages, places, and PostgreSQL standing in for Redis."""

from __future__ import annotations

from urllib.parse import quote

from maicivy.web import keys
from tests.conftest import API, Client, get_data, send_event

WRONG = [
    "stats",
    "stats?period=",
    "stats?period=year",
    "stats?period=DAY",
    "stats?period=day&period=day",
    "letters",
    "letters?period=hour",
    "themes?limit=0",
    "themes?limit=21",
    "themes?limit=",
    "themes?limit=five",
    "themes?limit=5.0",
    "themes?limit=%D9%A5",
    "themes?limit=+5",
    "themes?limit=5%00",
    "themes?limit=99999999999999999999999999",
    "timeline?limit=101",
    "timeline?limit=0",
    "timeline?offset=-1",
    "timeline?offset=100001",
    "timeline?cursor=",
    "timeline?cursor=x",
    "timeline?cursor=" + "A" * 32 + "&offset=1",
    "timeline?cursor=" + "_" * 32,
    "timeline?cursor=%C3%A9",
    "heatmap?hours=0",
    "heatmap?hours=169",
    "heatmap?page_url=",
    "heatmap?page_url=%00",
    "heatmap?page_url=" + "x" * 501,
    "heatmap?page_url=/a&page_url=/b",
]


async def test_wrong_parameters_are_named(client: Client) -> None:
    for path in WRONG:
        response = await client.get(f"{API}/{path}")
        answer = await response.json()
        assert response.status == 400, path
        assert answer["success"] is False
        assert answer["code"] in {"invalid_parameter", "missing_parameter"}
        name = path.partition("?")[2].partition("=")[0] or "period"
        assert name in answer["error"], path


async def test_the_ends_of_the_ranges_are_allowed(client: Client) -> None:
    for path in (
        "themes?limit=1",
        "themes?limit=20",
        "timeline?limit=100&offset=100000",
        "heatmap?hours=1",
        "heatmap?hours=168",
        "stats?period=day&unknown=1",
    ):
        assert (await client.get(f"{API}/{path}")).status == 200


async def test_nothing_yet(client: Client) -> None:
    assert (await get_data(client, "stats?period=month"))["conversion_rate"] == 0.0
    assert await get_data(client, "themes") == []
    assert await get_data(client, "timeline") == []
    assert await get_data(client, "heatmap") == []


async def test_letters_and_conversion(client: Client) -> None:
    await send_event(client, "page_view", page_url="/cv")
    client.session.cookie_jar.clear()
    for kind in ("motivation", "motivation", "anti_motivation"):
        await send_event(client, "letter_generate", event_data={"letter_type": kind},
                         headers={"User-Agent": "curl/1"})  # fmt: skip
    await send_event(client, page_url="/x", headers={"User-Agent": "curl/1"})
    letters = await get_data(client, "letters?period=day")
    stats = await get_data(client, "stats?period=day")
    assert (letters["motivation"], letters["anti_motivation"], letters["total"]) == (2, 1, 3)
    assert stats["unique_visitors"] == letters["unique_visitors"] == 2
    assert stats["conversion_rate"] == letters["conversion_rate"] == 1.5
    assert len(letters["history"]) == 1


async def test_pages_by_cursor_do_not_shift(client: Client) -> None:
    for n in range(5):
        await send_event(client, f"e{n}")
    first = await (await client.get(f"{API}/timeline?limit=2")).json()
    await send_event(client, "late")
    cursor = first["meta"]["next_cursor"]
    second = await (await client.get(f"{API}/timeline?limit=2&cursor={cursor}")).json()
    cursor = second["meta"]["next_cursor"]
    third = await (await client.get(f"{API}/timeline?limit=2&cursor={cursor}")).json()
    pages = [[event["event_type"] for event in page["data"]] for page in (first, second, third)]
    assert pages == [["e4", "e3"], ["e2", "e1"], ["e0"]]
    assert third["meta"] == {"limit": 2, "offset": 0, "count": 1, "next_cursor": None}
    by_offset = await get_data(client, "timeline?limit=2&offset=1")
    assert [event["event_type"] for event in by_offset] == ["e4", "e3"]


async def test_one_visitor_has_one_pseudonym_a_day(client: Client) -> None:
    await send_event(client)
    await send_event(client)
    events = await get_data(client, "timeline")
    assert len({event["visitor_id"] for event in events}) == 1


async def test_places_are_grouped_and_filtered(client: Client) -> None:
    for page_url, x, y in (
        ("/cv?theme=a", 10.4, 20.5),
        ("/cv", 10, 20.6),
        ("/cv#top", 9.6, 21),
        ("/cv?theme=b", 1, 1),
        ("/cvx", 2, 2),
        ("/letters", 3, 3),
        (None, 4, 4),
        ("/cv", "5", 5),
        ("/cv", 2**40, 5),
        ("/cv", None, 5),
        ("/app#/a", 6, 6),
    ):
        await send_event(client, event_data={"x": x, "y": y}, page_url=page_url)
    path = await get_data(client, "heatmap?page_url=/cv")
    assert path == [{"x": 10, "y": 21, "count": 3}, {"x": 1, "y": 1, "count": 1}]
    exact = await get_data(client, f"heatmap?page_url={quote('/cv?theme=b', safe='')}")
    assert exact == [{"x": 1, "y": 1, "count": 1}]
    assert len(await get_data(client, "heatmap")) == 6


async def test_a_place_is_looked_for_on_the_page_as_it_is_stored(client: Client) -> None:
    pages = ("/cv?theme=b&fbclid=x", "/cv?fbclid=x", "/app#/a?id=7", "/a@b.example")
    for number, page_url in enumerate(pages):
        await send_event(client, event_data={"x": number, "y": 0}, page_url=page_url)
    for page_url, stored, found in (
        ("/cv?theme=b&fbclid=x", "/cv?theme=b", [0]),
        ("/cv?fbclid=y&theme=b", "/cv?theme=b", [0]),
        ("/cv?gclid=x", "/cv", [1]),
        ("/cv", "/cv", [0, 1]),
        ("/app#/a?id=8", "/app#/a", [2]),
        ("/app#top", "/app", []),
        ("/app", "/app", [2]),
        ("/a@b.example", "/redacted", [3]),
        ("?", "", []),
    ):
        response = await client.get(f"{API}/heatmap", params={"page_url": page_url})
        answer = await response.json()
        assert answer["meta"]["page_url"] == stored, page_url
        assert [point["x"] for point in answer["data"]] == found, page_url


async def test_postgresql_gives_the_same_answers(client: Client) -> None:
    for theme in ("a", "b", "b", "c", "c"):
        await send_event(client, "cv_theme_change", event_data={"theme": theme})
    await send_event(client, "letter_generate", event_data={"letter_type": "motivation"})
    paths = [
        "realtime", "stats?period=day", "stats?period=week", "stats?period=month",
        "letters?period=day", "themes", "themes?limit=1", "timeline",
    ]  # fmt: skip
    with_redis = [await get_data(client, path) for path in paths]
    realtime = client.app[keys.REALTIME]
    for path, expected in zip(paths, with_redis, strict=True):
        realtime._breaker.failed()
        realtime.distrust()
        answer = await get_data(client, path)
        for one in (answer, expected):
            if isinstance(one, dict):
                one.pop("timestamp", None)
        assert answer == expected
    assert with_redis[5] == [
        {"theme": "c", "views": 2},
        {"theme": "b", "views": 2},
        {"theme": "a", "views": 1},
    ]


async def test_unknown_addresses_and_methods(client: Client) -> None:
    response = await client.get(f"{API}/nope")
    assert (response.status, (await response.json())["code"]) == (404, "not_found")
    response = await client.delete(f"{API}/realtime")
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    assert (await response.json())["code"] == "method_not_allowed"
    response = await client.get(f"{API}/event")
    assert (response.status, response.headers["Allow"]) == (405, "POST")


async def test_headers_on_every_answer(client: Client) -> None:
    for path in (f"{API}/realtime", f"{API}/nope", "/health", "/docs", "/metrics"):
        response = await client.get(path)
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"]
        assert response.headers["Server"] == "maicivy"
