"""From a request to a row: what is stored, what is refused, what is not to be tracked."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from maicivy.web import intake, keys
from tests.conftest import API, BROWSER, Client, ClientFactory, Database, get_data, send_event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest
    from aiohttp import ClientWebSocketResponse

LONG = "/" + "x" * 500


async def test_an_event_is_stored_and_counted_at_once(client: Client, database: Database) -> None:
    await send_event(client, event_data={"button": "cta", "x": 450, "y": 200}, page_url="/cv")
    [row] = await database.fetch("SELECT * FROM analytics_events")
    assert (row["event_type"], row["page_url"], row["session_duration"]) == (
        "button_click",
        "/cv",
        0,
    )
    assert json.loads(row["event_data"]) == {"button": "cta", "x": 450, "y": 200}
    assert row["created_at"] == row["updated_at"]
    numbers = await get_data(client, "realtime")
    assert numbers["total_events"] == numbers["unique_today"] == numbers["current_visitors"] == 1


async def test_a_visitor_is_reduced_to_families(client: Client, database: Database) -> None:
    await send_event(client, headers={"Accept-Language": "fr-CH, en;q=0.5"})
    [row] = await database.fetch("SELECT * FROM visitors")
    assert (row["browser"], row["os"], row["device"]) == ("Chrome", "Linux", "desktop")
    assert (row["language"], row["profile_detected"], row["visit_count"]) == ("fr", "unknown", 1)
    assert len(row["ip_hash"]) == 64
    assert all("Mozilla" not in str(value) and "127.0.0.1" not in str(value) for value in row)


async def test_content_types(client: Client) -> None:
    for content_type, status in (
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("text/plain;charset=UTF-8", 201),
        (None, 201),
        ("application/xml", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/json; charset=latin-1", 415),
    ):
        response = await client.post(
            f"{API}/event",
            data=b'{"event_type":"x"}',
            headers={"Content-Type": content_type} if content_type else {},
            skip_auto_headers=[] if content_type else ["Content-Type"],
        )
        assert response.status == status, content_type


WRONG_FIELDS: list[tuple[Any, str, str]] = [
    ({}, "missing_field", "event_type"),
    ({"event_type": ""}, "invalid_field", "event_type"),
    ({"event_type": "1x"}, "invalid_field", "event_type"),
    ({"event_type": "x" * 51}, "invalid_field", "event_type"),
    ({"event_type": "x\n"}, "invalid_field", "event_type"),
    ({"event_type": 7}, "invalid_field", "event_type"),
    ({"event_type": "x", "event_data": []}, "invalid_field", "event_data"),
    ({"event_type": "x", "event_data": "y"}, "invalid_field", "event_data"),
    ({"event_type": "x", "page_url": 1}, "invalid_field", "page_url"),
    ({"event_type": "x", "page_url": LONG}, "invalid_field", "page_url"),
    ({"event_type": "x", "page_url": "javascript:alert(1)"}, "invalid_field", "page_url"),
    ({"event_type": "x", "page_url": " JaVaScript:alert(1)"}, "invalid_field", "page_url"),
    ({"event_type": "x", "page_url": "data:text/html,x"}, "invalid_field", "page_url"),
    ({"event_type": "x", "page_url": "//evil.example/x"}, "invalid_field", "page_url"),
    ({"event_type": "x", "page_url": "/\\evil.example"}, "invalid_field", "page_url"),
    ({"event_type": "x", "referrer": {}}, "invalid_field", "referrer"),
    ({"event_type": "x", "session_duration": -1}, "invalid_field", "session_duration"),
    ({"event_type": "x", "session_duration": 1.5}, "invalid_field", "session_duration"),
    ({"event_type": "x", "session_duration": True}, "invalid_field", "session_duration"),
    ({"event_type": "x", "session_duration": 2**31}, "invalid_field", "session_duration"),
    ({"event_type": "letter_generate"}, "invalid_field", "letter_type"),
    ({"event_type": "letter_generated", "event_data": {"letter_type": "x"}}, "invalid_field",
     "letter_type"),
    ({"event_type": "letter_generate", "event_data": {"letter_type": []}}, "invalid_field",
     "letter_type"),

]  # fmt: skip


async def test_a_wrong_field_is_named(client: Client, database: Database) -> None:
    for body, code, named in WRONG_FIELDS:
        response = await client.post(f"{API}/event", json=body)
        answer = await response.json()
        assert (response.status, answer["success"], answer["code"]) == (400, False, code), body
        assert named in answer["error"]
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 0


async def test_event_types_that_mean_the_same(client: Client, database: Database) -> None:
    sent = ("cv_theme_selected", "letter_generated", "pdf_downloaded", "my.own:event-1")
    for event_type in sent:
        await send_event(client, event_type, event_data={"type": "motivation"})
    rows = await database.fetch("SELECT event_type FROM analytics_events ORDER BY created_at, id")
    stored = ["cv_theme_change", "letter_generate", "pdf_download", "my.own:event-1"]
    assert [row["event_type"] for row in rows] == stored


async def test_null_and_empty_are_absent(client: Client, database: Database) -> None:
    await send_event(
        client, event_data=None, page_url="", referrer=None, session_duration=None, other=1
    )
    [row] = await database.fetch("SELECT * FROM analytics_events")
    assert (row["event_data"], row["page_url"], row["referrer"]) == (None, None, None)
    [event] = await get_data(client, "timeline")
    assert (event["event_data"], event["page_url"]) == ("{}", "")


async def test_the_referer_header_stands_in_for_a_referrer(
    client: Client, database: Database
) -> None:
    await send_event(client, headers={"Referer": "https://search.example/?q=cv#x"})
    await send_event(client, headers={"Referer": "javascript:x"})
    rows = await database.fetch("SELECT referrer FROM analytics_events ORDER BY id")
    assert [row["referrer"] for row in rows] == ["https://search.example/", None]


async def test_an_absolute_url_of_this_site_is_stored_as_its_path(
    make_client: ClientFactory, database: Database
) -> None:
    client = await make_client(allowed_origins=("https://cv.example",))
    own = f"http://{client.host}:{client.port}"
    for url in (f"{own}/cv?lang=fr&a=1", "https://CV.example", "https://other.example/cv"):
        await send_event(client, page_url=url)
    rows = await database.fetch("SELECT page_url FROM analytics_events ORDER BY created_at, id")
    assert [row["page_url"] for row in rows] == ["/cv?lang=fr", "/", "https://other.example/cv"]


async def test_unlisted_parameters_reach_neither_table_nor_feed_nor_metrics(
    make_client: ClientFactory, database: Database, tmp_path: Path
) -> None:
    (tmp_path / "cv.html").write_text("<title>CV</title>")
    client = await make_client(site_dir=tmp_path, query_parameters=("lang",))
    feed = await client.ws_connect("/ws/analytics")
    query = "?fbclid=unlisted1&theme=backend&lang=fr;gclid=unlisted2"
    headers = {"Referer": f"https://a.example/b{query}"}
    await send_event(client, "page_view", page_url=f"/cv{query}#unlisted3", headers=headers)
    assert (await client.get(f"/cv{query}", headers=headers)).status == 200
    heard = [message async for message in published(feed, 2)]
    assert [message["page_url"] for message in heard] == ["/cv?lang=fr"] * 2
    assert [message["data"] for message in heard] == [{}, {"path": "/cv"}]
    rows = await database.fetch("SELECT * FROM analytics_events")
    assert {(row["page_url"], row["referrer"]) for row in rows} == {
        ("/cv?lang=fr", "https://a.example/b")
    }
    exposed = await (await client.get("/metrics")).text()
    assert 'maicivy_page_views_total{path="/cv"} 2.0' in exposed
    assert "unlisted" not in str(rows) + str(heard) + exposed
    assert await get_data(client, "themes") == [{"theme": "backend", "views": 2}]
    await feed.close()


async def published(feed: ClientWebSocketResponse, count: int) -> AsyncIterator[Any]:
    """Yield the next `count` events that a client of the live feed hears."""
    while count:
        message = await feed.receive_json(timeout=10)
        if message["type"] not in {"initial_stats", "heartbeat"}:
            count -= 1
            yield message


async def test_what_identifies_a_person_is_never_stored(client: Client, database: Database) -> None:
    await send_event(
        client,
        event_data={"email": "a@b.example", "note": "call +33 6 12 34 56 78", "theme": "backend"},
        page_url="/cv?token=s3cret&theme=backend",
        referrer="https://user:pw@x.example/?mail=a%40b.example",
    )
    stored = str((await database.fetch("SELECT * FROM analytics_events"))[0])
    for canary in ("a@b", "a%40b", "12 34", "s3cret", "user:pw"):
        assert canary not in stored
    assert "theme=backend" in stored


async def test_an_opted_out_visitor_leaves_no_trace(client: Client, database: Database) -> None:
    for header in ("DNT", "Sec-GPC"):
        response = await client.post(
            f"{API}/event", json={"event_type": "x"}, headers={header: "1"}
        )
        assert response.status == 202
        assert await response.json() == {
            "success": True,
            "message": "Not tracked",
            "reason": "opt_out",
        }
        assert "Set-Cookie" not in response.headers
    assert await database.fetchval("SELECT count(*) FROM visitors") == 0


async def test_bots_are_not_tracked_but_tools_may_report(
    client: Client, database: Database
) -> None:
    for agent, status in (
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", 202),
        (BROWSER.replace("Chrome/", "HeadlessChrome/"), 202),
        ("curl/8.5.0", 201),
        ("", 201),
    ):
        response = await client.post(
            f"{API}/event", json={"event_type": "x"}, headers={"User-Agent": agent}
        )
        assert response.status == status, agent
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 2


async def test_a_body_has_16_kib(client: Client) -> None:
    frame = b'{"event_type":"x","pad":"%s"}'
    for size, status in ((16 * 1024, 201), (16 * 1024 + 1, 413)):
        body = frame % (b"p" * (size - len(frame) + 2))

        async def pieces(whole: bytes = body) -> Any:
            yield whole

        for data in (body, pieces()):
            response = await client.post(
                f"{API}/event", data=data, headers={"Content-Type": "application/json"}
            )
            assert response.status == status


async def test_a_compressed_body_is_refused(client: Client) -> None:
    response = await client.post(
        f"{API}/event",
        data=b"{}",
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )
    assert (response.status, (await response.json())["code"]) == (415, "unsupported_coding")


async def test_a_body_that_stalls_is_given_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BODY_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(f"POST {API}/event HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{{".encode())
    status = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    assert b" 408 " in status


async def test_pages_of_other_sites_may_not_send(make_client: ClientFactory) -> None:
    client = await make_client(allowed_origins=("https://cv.example",))
    own = f"http://{client.host}:{client.port}"
    for origin, status in (
        ("https://cv.example", 201),
        (own, 201),
        ("https://evil.example", 403),
        ("null", 403),
        ("https://cv.example.evil.example", 403),
    ):
        response = await client.post(
            f"{API}/event", json={"event_type": "x"}, headers={"Origin": origin}
        )
        assert response.status == status, origin
        allowed = response.headers.get("Access-Control-Allow-Origin")
        assert allowed == (origin if origin == "https://cv.example" else None)


async def test_preflight(make_client: ClientFactory) -> None:
    client = await make_client(allowed_origins=("https://cv.example",))
    headers = {"Origin": "https://cv.example", "Access-Control-Request-Method": "POST"}
    response = await client.options(f"{API}/event", headers=headers)
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert int(response.headers["Access-Control-Max-Age"]) > 0
    headers["Origin"] = "https://evil.example"
    assert (await client.options(f"{API}/event", headers=headers)).status == 405


async def test_every_event_counts_in_the_metrics(client: Client) -> None:
    await send_event(client, "letter_generate", event_data={"letter_type": "motivation"})
    await send_event(client, "page_view", page_url="/cv?theme=Backend")
    body = await (await client.get("/metrics")).text()
    for line in (
        "maicivy_visitors_total 1.0",
        'maicivy_letters_generated_total{type="motivation"} 1.0',
        'maicivy_events_total{event_type="page_view"} 1.0',
        'maicivy_page_views_total{path="/cv"} 1.0',
        'maicivy_cv_theme_views{theme="backend"} 1.0',
        "maicivy_conversion_rate 1.0",
        "maicivy_current_visitors 1.0",
    ):
        assert line in body.splitlines()


async def test_a_theme_counts_once_and_only_under_cv(client: Client) -> None:
    await send_event(client, "page_view", page_url="/cv/?theme=a", event_data={"theme": "a"})
    await send_event(client, "page_view", page_url="/cvx?theme=a")
    await send_event(client, "button_click", page_url="/cv?theme=a", event_data={"theme": "a"})
    await send_event(client, "cv_theme_change", event_data={"theme": "A"})
    await send_event(client, "cv_theme_change", event_data={"theme": "not a theme!"})
    await send_event(client, "cv_theme_change", event_data={"theme": 7})
    assert await get_data(client, "themes") == [{"theme": "a", "views": 2}]


async def test_the_answer_waits_for_nobody_who_left(client: Client, database: Database) -> None:
    writer = client.app[keys.WRITER]
    _, stream = await asyncio.open_connection(client.host, client.port)
    body = b'{"event_type":"x"}'
    stream.write(
        b"POST /api/v1/analytics/event HTTP/1.1\r\nHost: x\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    await stream.drain()
    stream.transport.abort()
    await send_event(client)
    assert writer.available
    assert await database.fetchval("SELECT count(*) FROM analytics_events") >= 1
