"""What the dashboard's page is told, and how its files are sent."""

from __future__ import annotations

import datetime as dt
import gzip
import html
import json
import re
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

import aiohttp
import pytest

from maicivy.web.dashboard import POLICY
from maicivy.web.files import STATIC_FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Client, ClientFactory, FakeClock

GZIP = {"Accept-Encoding": "gzip"}
BUDGET_BYTES = 120_000


async def ask(client: Client, target: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
    """Return an answer and its body as it came over the wire."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        response = await session.get(client.make_url(target), headers=headers)
        return response, await response.read()


def told(page: str) -> dict[str, Any]:
    found = re.search(r'<meta name="maicivy" content="([^"]*)">', page)
    assert found is not None
    settings: dict[str, Any] = json.loads(html.unescape(found[1]))
    return settings


async def test_the_page_is_told_what_only_the_server_knows(
    make_client: ClientFactory, clock: FakeClock, tmp_path: Path
) -> None:
    clock.freeze(dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC))
    client = await make_client(timezone=ZoneInfo("Europe/Paris"), site_dir=tmp_path)
    response = await client.get("/dashboard")
    settings = told(await response.text())
    assert settings == {
        "now": int(clock().timestamp() * 1000),
        "zone": "Europe/Paris",
        "script": "/maicivy.js",
        "served": True,
        "owner": False,
    }
    assert response.headers["Content-Security-Policy"] == POLICY
    assert response.headers["Cache-Control"] == "no-store"
    assert "unsafe" not in POLICY


async def test_a_site_that_is_elsewhere_is_said_to_be(client: Client) -> None:
    assert told(await (await client.get("/dashboard")).text())["served"] is False


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("br", False),
        ("identity", False),
    ],
)
async def test_files_are_compressed_for_those_who_take_it(
    client: Client, accepted: str, packed: Literal[True, False]
) -> None:
    for target, file in (
        ("/static/dashboard/main.js", STATIC_FOLDER / "dashboard" / "main.js"),
        ("/dashboard", None),
    ):
        response, body = await ask(client, target, **{"Accept-Encoding": accepted})
        assert (response.headers.get("Content-Encoding") == "gzip") is packed, target
        assert response.headers["Vary"] == "Accept-Encoding"
        plain = gzip.decompress(body) if packed else body
        if file is not None:
            assert plain == file.read_bytes()
            assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"


async def test_a_compressed_file_is_sent_again_only_when_it_changes(client: Client) -> None:
    target = "/static/dashboard/base.css"
    first, _ = await ask(client, target, **GZIP)
    again, body = await ask(client, target, **GZIP, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status, body) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    other, _ = await ask(client, target, **GZIP, **{"If-None-Match": '"other"'})
    assert other.status == 200
    # The two forms of a file are not the same thing to a cache.
    plain, _ = await ask(client, target, **{"Accept-Encoding": "identity"})
    assert plain.headers["ETag"] != first.headers["ETag"]


async def test_head_tells_the_same_without_the_body(client: Client) -> None:
    for target in ("/dashboard", "/static/dashboard/main.js"):
        head = await client.head(target, headers=GZIP)
        get, body = await ask(client, target, **GZIP)
        assert head.status == get.status == 200
        assert head.headers["Content-Encoding"] == "gzip"
        assert abs(int(head.headers["Content-Length"]) - len(body)) < 16  # the time differs


async def test_all_files_together_are_small_and_named_by_the_page(client: Client) -> None:
    _, page = await ask(client, "/dashboard", **GZIP)
    named = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', gzip.decompress(page).decode()))
    folder = STATIC_FOLDER / "dashboard"
    # The dialog is loaded when it is opened.
    files = {f"/static/dashboard/{one.name}" for one in folder.iterdir()} - {
        "/static/dashboard/index.html",
        "/static/dashboard/sharing.js",
    }
    # A module that is not preloaded costs a round trip, one that is not there an error.
    assert {one for one in named if one.startswith("/static/dashboard/")} == files
    total = len(page)
    for target in sorted(named):
        response, body = await ask(client, target, **GZIP)
        assert response.status == 200, target
        total += len(body)
    assert total < BUDGET_BYTES


def test_texts_are_there_in_every_language() -> None:
    keys = {
        lang: re.findall(
            r'(?:^|[,{]) *(?:"([^"]+)"|(\w+)): (?:"|\{)',
            re.sub(
                r"\{ one: .*? \}",
                '""',
                (STATIC_FOLDER / "dashboard" / f"texts.{lang}.js").read_text(),
            ),
            re.MULTILINE,
        )
        for lang in ("en", "fr")
    }
    assert len(keys["en"]) > 100
    assert keys["en"] == keys["fr"]
