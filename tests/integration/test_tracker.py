"""The tracker as it is served, and which of its page views are counted already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from maicivy.config import TAKEN, Config
from maicivy.web import ahead
from maicivy.web.routes import routes
from maicivy.web.tracker import EVENTS, FILE
from tests.conftest import API, get_data

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Client, ClientFactory, Database

ORIGIN = "https://www.example.org"


async def test_any_site_may_load_it(client: Client) -> None:
    for origin in ({}, {"Origin": "https://anybody.example"}):
        response = await client.get("/maicivy.js", headers=origin)
        assert response.status == 200
        assert await response.read() == FILE.read_bytes()
        headers = response.headers
        assert headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert headers["Cache-Control"] == "public, max-age=600"
        assert "Set-Cookie" not in headers
    head = await client.head("/maicivy.js")
    assert (head.status, await head.read()) == (200, b"")


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP ; q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("*, gzip; q=0.0", False),
        ("identity", False),
        ("", False),
    ],
)
async def test_it_is_packed_for_who_unpacks(client: Client, accepted: str, *, packed: bool) -> None:
    response = await client.get("/maicivy.js", headers={"Accept-Encoding": accepted})
    assert response.headers.get("Content-Encoding") == ("gzip" if packed else None)
    assert "Accept-Encoding" in response.headers.getall("Vary")
    assert await response.read() == FILE.read_bytes()
    assert (int(response.headers["Content-Length"]) < 1000) == packed


async def test_who_has_it_is_not_sent_it_again(client: Client) -> None:
    tag = (await client.get("/maicivy.js")).headers["ETag"]
    for sent in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        response = await client.get("/maicivy.js", headers={"If-None-Match": sent})
        assert (response.status, await response.read()) == (304, b""), sent
        assert response.headers["ETag"] == tag
        assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    for sent in ('"other"', '""', f'"{tag[3:-2]}"'):
        response = await client.get("/maicivy.js", headers={"If-None-Match": sent})
        assert response.status == 200, sent


async def test_other_names(make_client: ClientFactory) -> None:
    client = await make_client(tracker_path="/a/b.js", collect_path="/a/b.js")
    response = await client.get("/a/b.js")
    script = await response.text()
    assert EVENTS not in script
    assert '"/a/b.js"' in script
    view = {"events": [{"event_type": "page_view", "page_url": "/cv"}]}
    for path in ("/a/b.js", EVENTS):
        assert (await client.post(path, json=view)).status == 201
    assert (await get_data(client, "realtime"))["total_events"] == 2
    assert (await client.get("/maicivy.js")).status == 404
    document = await (await client.get("/openapi.json")).json()
    assert document["paths"]["/a/b.js"].keys() == {"get", "post"}
    assert "/maicivy.js" not in document["paths"]


def test_no_address_can_be_given_away_twice() -> None:
    for metrics_port in (None, 9):
        listed = routes(Config(metrics_port=metrics_port))
        first = {str(route.path).split("/")[1] for route in listed}  # type: ignore[attr-defined]
        assert first - {"", "maicivy.js"} <= TAKEN


@pytest.fixture
async def site(make_client: ClientFactory, tmp_path: Path) -> Client:
    for name in ("index", "cv", "dashboard"):
        (tmp_path / f"{name}.html").write_text("<title>x</title>", encoding="utf-8")
    (tmp_path / "cv.pdf").write_text("x", encoding="utf-8")
    return await make_client(site_dir=tmp_path, allowed_origins=(ORIGIN,))


async def load(client: Client, page_url: Any, event_type: str = "page_load") -> str:
    body = {"events": [{"event_type": event_type, "page_url": page_url}]}
    response = await client.post(f"{API}/events", json=body)
    [item] = (await response.json())["data"]
    return str(item["code"])


async def test_a_page_that_was_served_here_is_counted_once(
    site: Client, database: Database
) -> None:
    assert (await site.get("/cv?theme=x")).status == 200
    own = str(site.make_url("/cv?theme=x#here"))
    assert await load(site, own) == "counted"
    assert await load(site, str(site.make_url("/"))) == "counted"
    assert await load(site, "/cv.html") == "counted"
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 1
    ledger = await get_data(site, "ledger")
    assert (ledger["received"], ledger["stored"], ledger["duplicate"]) == (4, 1, 3)
    assert ledger["pending"] == 0


@pytest.mark.parametrize(
    "page_url",
    [
        f"{ORIGIN}/cv",  # the same path of another site that may send
        "/no-such-page",
        "/cv.pdf",
        "/dashboard",  # not counted as it is served
        "https://[/cv",
        "/" + "a" * 499,
        None,
    ],
)
async def test_a_page_from_elsewhere_is_counted(site: Client, page_url: str | None) -> None:
    assert await load(site, page_url) == "tracked"
    [event] = await get_data(site, "timeline")
    assert event["event_type"] == "page_view"


async def test_within_a_page_views_count(site: Client) -> None:
    own = str(site.make_url("/cv"))
    assert await load(site, own, "page_view") == "tracked"
    body = {
        "events": [
            {"event_type": "page_load", "page_url": own},
            {"event_type": "cv_opened", "page_url": own},
            {"event_type": "page_load", "page_url": own},
            {"event_type": "page_load", "page_url": 1},
        ]
    }
    response = await site.post(f"{API}/events", json=body)
    codes = [item["code"] for item in (await response.json())["data"]]
    # one document is loaded once
    assert codes == ["counted", "tracked", "tracked", "invalid_field"]


async def test_without_a_site_nothing_is_counted_already(client: Client) -> None:
    assert await load(client, str(client.make_url("/cv"))) == "tracked"


AHEAD = {"Sec-Purpose": "prefetch"}


async def test_a_page_sent_ahead_is_counted_when_it_is_seen(site: Client) -> None:
    """Once, whether it was only fetched or drawn, and not for somebody else."""
    own = str(site.make_url("/cv"))
    for event_type in ("page_load", "page_view"):
        assert (await site.get("/cv", headers=AHEAD)).status == 200
        before = (await get_data(site, "realtime"))["total_events"]
        body = {"events": [{"event_type": "page_load", "page_url": own}]}
        other = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"}
        answer = await site.post(f"{API}/events", json=body, headers=other)
        assert (await answer.json())["data"][0]["code"] == "counted"
        assert await load(site, own, event_type) == "tracked"
        assert (await get_data(site, "realtime"))["total_events"] == before + 1
        assert await load(site, own) == "counted"
    await site.get("/cv", headers=AHEAD)
    await site.get("/cv")
    assert await load(site, own) == "counted"


async def test_what_is_remembered_of_pages_sent_ahead_is_bounded(
    site: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "MAX_PAGES", 1)
    await site.get("/cv", headers=AHEAD)
    await site.get("/", headers=AHEAD)
    assert await load(site, str(site.make_url("/cv"))) == "counted"
    assert await load(site, str(site.make_url("/"))) == "tracked"
    monkeypatch.setattr(ahead, "KEPT_SECONDS", 0.0)
    await site.get("/cv", headers=AHEAD)
    assert await load(site, str(site.make_url("/cv"))) == "counted"
