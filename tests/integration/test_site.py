"""The pages of `MAICIVY_SITE_DIR`: what is served, what never is, and which views are counted."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from http.client import HTTPMessage, parse_headers
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp.test_utils import make_mocked_request

from maicivy.errors import StorageUnavailable
from maicivy.web import keys
from maicivy.web.files import file_response
from tests.conftest import BROWSER, Client, ClientFactory, Database, until

SECRET = "this must not be served"
FAST_SECONDS = 1.0


class Answer(NamedTuple):
    """An answer as it came over the wire."""

    status: int
    headers: HTTPMessage
    body: bytes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A site with everything in it that must and must not be served."""
    site = tmp_path / "site"
    files = {
        "index.html": "<title>Home</title>",
        "cv.html": "<title>CV</title>",
        "about/index.html": "<title>About</title>",
        "healthy.html": "<title>Healthy</title>",
        "dashboards.html": "<title>Dashboards</title>",
        "metrics-we-like.html": "<title>Metrics</title>",
        "api.html": "<title>API</title>",
        "api/page.html": "<title>No page of a visitor's</title>",
        "dashboard/index.html": "<title>Dashboard</title>",
        "a page é.html": "<title>Spaces</title>",
        "assets/app.js": "export {};",
        "back\\slash.html": SECRET,
        ".env": SECRET,
        ".git/config": SECRET,
        "assets/.hidden.js": SECRET,
    }
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text, encoding="utf-8")
    (site / "empty").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.html").write_text(SECRET)
    (tmp_path / "site.html").write_text(SECRET)
    (tmp_path / "site-other").mkdir()
    (tmp_path / "site-other" / "secret.html").write_text(SECRET)
    (site / "leak.html").symlink_to(outside / "secret.html")
    (site / "leaks").symlink_to(outside)
    (site / "sibling").symlink_to(tmp_path / "site-other")
    (site / "inside.html").symlink_to("cv.html")
    (site / "same").symlink_to("about")
    (site / "loop.html").symlink_to("loop.html")
    return site


@pytest.fixture
async def site(make_client: ClientFactory, folder: Path) -> Client:
    return await make_client(site_dir=folder)


async def ask(client: Client, target: str, method: str = "GET", **headers: str) -> Answer:
    """Send `target` exactly as it is written, which no well-behaved client would."""
    host, port = client.host, client.port
    reader, writer = await asyncio.open_connection(host, port)
    fields = {"Host": f"{host}:{port}", "User-Agent": BROWSER, "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode())
    raw = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    top, _, body = raw.partition(b"\r\n\r\n")
    status, _, rest = top.partition(b"\r\n")
    return Answer(int(status.split()[1]), parse_headers(BytesIO(rest + b"\r\n\r\n")), body)


def sample(client: Client, name: str, **labels: str) -> float:
    registry = client.app[keys.METRICS].registry
    return registry.get_sample_value(name, labels) or 0.0


async def views(client: Client, database: Database) -> list[str]:
    """Return the addresses of the page views that are stored, oldest first."""
    await asyncio.wait_for(client.app[keys.WRITER]._idle.wait(), 5)
    rows = await database.fetch("SELECT event_type, page_url FROM analytics_events ORDER BY id")
    assert {row["event_type"] for row in rows} <= {"page_view"}
    return [row["page_url"] for row in rows]


def assert_not_found(answer: Answer, target: str) -> None:
    assert answer.status == 404, target
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8", target
    body = json.loads(answer.body)
    assert (body["success"], body["code"]) == (False, "not_found"), target


OUTSIDE = [
    "/../outside/secret.html",
    "/..",
    "/../site.html",
    "/assets/../../outside/secret.html",
    "/%2e%2e/outside/secret.html",
    "/%2e%2e%2foutside%2fsecret.html",
    "/%2E%2E%2Foutside%2Fsecret",
    "/.%2e/outside/secret.html",
    "/assets/%2e%2e/%2e%2e/outside/secret.html",
    "/..%5coutside%5csecret.html",
    "/..\\outside\\secret.html",
    "/back%5cslash",
    "/%252e%252e%252foutside%252fsecret.html",
    "/%c0%ae%c0%ae/outside/secret.html",
    "/..;/outside/secret.html",
    "/....//outside/secret.html",
    "//outside/secret.html",
    "///../outside/secret.html",
    "/cv.html%00",
    "/%00",
    "/cv%00.html",
    "/%ff%fe",
    "/%ed%a0%80",
    "/%",
    "/%zz",
    "/" + "x" * 300,
    "/" + "x/" * 2000,
    "/leak",
    "/leak.html",
    "/leaks/secret",
    "/leaks/secret.html",
    "/sibling/secret.html",
    "/loop",
    "/loop.html",
    "/.env",
    "/%2eenv",
    "/.git/config",
    "/.git",
    "/assets/.hidden.js",
    "/about/.",
    "/./.env",
    "/empty",
    "/empty/",
    "/assets",
    "/assets/",
    "/cv.html/index.html",
    "/nothing",
    "/CV.htm",
]


async def test_what_is_not_of_the_site_is_not_there(
    site: Client, folder: Path, database: Database
) -> None:
    absolute = [f"/{folder.parent}/outside/secret.html", f"{folder.parent}/outside/secret.html"]
    for target in [*OUTSIDE, *absolute]:
        answer = await ask(site, target)
        assert SECRET.encode() not in answer.body, target
        assert_not_found(answer, target)
    origin = f"http://{site.host}:{site.port}"
    for target in (f"{origin}/../outside/secret.html", f"{origin}/.env"):
        answer = await ask(site, target)
        assert_not_found(answer, target)
    assert await views(site, database) == []
    assert sample(site, "maicivy_visitors_total") == 0


async def test_a_page_has_a_clean_address(site: Client, database: Database) -> None:
    pages = {
        "/": "Home",
        "/index.html": "Home",
        "/cv": "CV",
        "/cv.html": "CV",
        "/cv/": "CV",
        "/cv?theme=backend": "CV",
        "/about": "About",
        "/about/": "About",
        "/same": "About",
        "/inside": "CV",
        "/a%20page%20%C3%A9": "Spaces",
    }
    for target, title in pages.items():
        answer = await ask(site, target)
        assert (answer.status, answer.body.decode()) == (200, f"<title>{title}</title>"), target
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Set-Cookie"].startswith("maicivy_session="), target
    stored = await views(site, database)
    assert stored[:-1] == list(pages)[:-1]
    assert len(stored) == len(pages)
    assert sample(site, "maicivy_page_views_total", path="/cv") == 2
    assert sample(site, "maicivy_cv_theme_views", theme="backend") == 1


async def test_addresses_that_only_begin_like_the_programs_own_are_pages(
    site: Client, database: Database
) -> None:
    pages = ["/healthy", "/dashboards", "/metrics-we-like", "/api"]
    for target in pages:
        assert (await ask(site, target)).status == 200
    assert await views(site, database) == pages


async def test_nobody_elses_page_view_is_counted(site: Client, database: Database) -> None:
    uncounted: list[tuple[str, str, dict[str, str], int]] = [
        ("GET", "/assets/app.js", {}, 200),
        ("GET", "/nothing", {}, 404),
        ("HEAD", "/cv", {}, 200),
        ("HEAD", "/nothing", {}, 404),
        ("GET", "/cv", {"Sec_Purpose": "prefetch"}, 200),
        ("GET", "/cv", {"Sec_Purpose": "prefetch;prerender"}, 200),
        ("GET", "/cv", {"Purpose": "prefetch"}, 200),
        ("GET", "/cv", {"DNT": "1"}, 200),
        ("GET", "/cv", {"Sec_GPC": "1"}, 200),
        ("GET", "/cv", {"User_Agent": "curl/8.5.0"}, 200),
        ("GET", "/cv", {"User_Agent": BROWSER.replace("Chrome/", "HeadlessChrome/")}, 200),
        ("GET", "/cv", {"User_Agent": ""}, 200),
        ("GET", "/dashboard", {}, 200),
        ("GET", "/dashboard/", {}, 200),
        ("GET", "/api/page", {}, 200),
        ("GET", "/health", {}, 200),
        ("GET", "/metrics", {}, 200),
        ("GET", "/openapi.json", {}, 200),
        ("GET", "/static/docs.html", {}, 200),
        ("GET", "/api/v1/analytics/nothing", {}, 404),
    ]
    for method, target, headers, status in uncounted:
        answer = await ask(site, target, method, **headers)
        assert answer.status == status, (method, target, headers)
        assert "Set-Cookie" not in answer.headers, (method, target, headers)
    assert await views(site, database) == []
    assert await database.fetchval("SELECT count(*) FROM visitors") == 0
    assert sample(site, "maicivy_events_dropped_total", reason="opt_out") == 2
    assert sample(site, "maicivy_events_dropped_total", reason="bot") == 3


async def test_a_page_is_asked_for_and_not_sent_to(site: Client, database: Database) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        for target in ("/", "/cv", "/assets/app.js"):
            answer = await ask(site, target, method, Content_Length="0")
            assert answer.status in {404, 405}, (method, target)
            assert json.loads(answer.body)["success"] is False
    assert await views(site, database) == []


async def test_head_is_get_without_the_body(site: Client) -> None:
    for target in ("/cv", "/assets/app.js"):
        get, head = await ask(site, target), await ask(site, target, "HEAD")
        assert head.body == b""
        for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control"):
            assert head.headers[name] == get.headers[name] is not None, (target, name)


async def test_an_unchanged_page_is_not_sent_again_but_counted_again(
    site: Client, database: Database, folder: Path
) -> None:
    first = await ask(site, "/cv")
    cookie = first.headers["Set-Cookie"].partition(";")[0]
    again = await ask(site, "/cv", If_None_Match=first.headers["ETag"], Cookie=cookie)
    assert (again.status, again.body) == (304, b"")
    assert "Set-Cookie" not in again.headers
    assert again.headers["X-Content-Type-Options"] == "nosniff"
    assert await views(site, database) == ["/cv", "/cv"]
    assert await database.fetchval("SELECT count(*) FROM visitors") == 1
    (folder / "cv.html").write_text("<title>A longer CV</title>")
    changed = await ask(site, "/cv", If_None_Match=first.headers["ETag"], Cookie=cookie)
    assert (changed.status, changed.body) == (200, b"<title>A longer CV</title>")


async def test_a_page_is_kept_by_the_visitors_own_browser_only(site: Client) -> None:
    """A shared cache that kept one visitor's cookie would hand it to the next."""
    page, asset = await ask(site, "/cv"), await ask(site, "/assets/app.js")
    assert page.headers["Cache-Control"] == "private, no-cache"
    assert asset.headers["Cache-Control"] == "no-cache"


TYPES = {
    "css": "text/css; charset=utf-8",
    "gif": "image/gif",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "JPG": "image/jpeg",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "mjs": "text/javascript; charset=utf-8",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "webmanifest": "application/manifest+json",
    "whatever": "application/octet-stream",
    "woff2": "font/woff2",
}


async def test_every_file_says_what_it_is(site: Client, folder: Path) -> None:
    for ending, content_type in TYPES.items():
        (folder / f"file.{ending}").write_bytes(b"<b>x</b>")
        answer = await ask(site, f"/file.{ending}")
        assert (answer.status, answer.body) == (200, b"<b>x</b>")
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] == "maicivy"


async def test_the_programs_own_files_stay_in_their_folder(site: Client) -> None:
    assert (await ask(site, "/static/docs.js")).status == 200
    for target in (
        "/static/../routes.py",
        "/static/%2e%2e/routes.py",
        "/static/%2e%2e%2froutes.py",
        "/static/..%5croutes.py",
        "/static/%252e%252e%252froutes.py",
        "/static//etc/passwd",
        "/static/",
        "/static/vendor",
        "/static/docs.js%00",
    ):
        answer = await ask(site, target)
        assert b"def routes" not in answer.body
        assert_not_found(answer, target)


async def test_without_a_site_there_are_no_pages(client: Client, database: Database) -> None:
    root = await ask(client, "/")
    assert (root.status, root.headers["Location"]) == (302, "/dashboard")
    assert_not_found(await ask(client, "/cv"), "/cv")
    assert await views(client, database) == []


async def fast(client: Client, target: str) -> Answer:
    """Ask for a page that has no time to wait for anything."""
    started = time.perf_counter()
    answer = await ask(client, target)
    assert time.perf_counter() - started < FAST_SECONDS
    return answer


async def test_a_full_queue_costs_the_page_nothing(
    make_client: ClientFactory, folder: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await make_client(site_dir=folder, queue_size=1)
    gate = asyncio.Event()
    postgres = client.app[keys.POSTGRES]
    write = postgres.write

    async def slow(name: str, *values: Any) -> Any:
        await gate.wait()
        return await write(name, *values)

    monkeypatch.setattr(postgres, "write", slow)
    for _ in range(10):
        answer = await fast(client, "/cv")
        assert (answer.status, answer.body) == (200, b"<title>CV</title>")
    assert sample(client, "maicivy_events_dropped_total", reason="queue_full") == 8
    gate.set()
    assert await views(client, database) == ["/cv", "/cv"]


async def test_a_dead_database_costs_the_page_nothing(
    site: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres, writer = site.app[keys.POSTGRES], site.app[keys.WRITER]
    write = postgres.write

    async def gone(_: str, *__: Any) -> Any:
        raise StorageUnavailable("gone")

    monkeypatch.setattr(postgres, "write", gone)
    for _ in range(10):
        assert (await fast(site, "/cv")).status == 200
    await until(lambda: not writer.available)
    assert (await fast(site, "/cv")).status == 200
    assert sample(site, "maicivy_events_dropped_total", reason="database_unavailable") == 10
    monkeypatch.setattr(postgres, "write", write)
    await until(lambda: writer.available)
    # the first was in doubt until now
    assert sample(site, "maicivy_events_dropped_total", reason="database_unavailable") == 11
    assert (await fast(site, "/about")).status == 200
    assert await views(site, database) == ["/about"]


async def test_a_page_survives_whatever_goes_wrong_in_tracking(
    site: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("broken")

    monkeypatch.setattr(site.app[keys.IDENTIFIER], "identify", broken)
    answer = await fast(site, "/cv")
    assert (answer.status, answer.body) == (200, b"<title>CV</title>")
    assert await views(site, database) == []


async def test_no_redis_costs_the_page_nothing(
    make_client: ClientFactory, folder: Path, database: Database
) -> None:
    client = await make_client(site_dir=folder, redis="redis://127.0.0.1:1", trusted=False)
    for _ in range(5):
        assert (await fast(client, "/cv")).status == 200
    assert await views(client, database) == ["/cv"] * 5


async def test_a_file_opened_for_nobody_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, opened = tmp_path / "icon.svg", []
    file.write_text("<svg/>")
    is_opening, may_go_on = threading.Event(), threading.Event()
    open_file = Path.open

    def slowly(self: Path, mode: str) -> Any:
        is_opening.set()
        may_go_on.wait(10)
        opened.append(open_file(self, mode))
        return opened[0]

    monkeypatch.setattr(Path, "open", slowly)
    request = make_mocked_request("GET", "/icon.svg")
    sending = asyncio.create_task(file_response(file, "").prepare(request))
    assert await asyncio.to_thread(is_opening.wait, 10)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    may_go_on.set()
    await until(lambda: opened and opened[0].closed)
