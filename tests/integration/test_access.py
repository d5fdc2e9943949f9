"""The password: what it closes and what it leaves open, sessions, attempts, other pages."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import ipaddress
import threading
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from maicivy.config import Config
from maicivy.errors import StorageUnavailable, Unavailable
from maicivy.storage.grants import Kind
from maicivy.storage.postgres import Postgres
from maicivy.web import access, keys, login, password
from maicivy.web.access import COOKIE_NAME
from maicivy.web.password import SESSION_LENGTH, Password
from maicivy.web.routes import IMAGES, OPEN, opened, routes
from tests.conftest import API, BROWSER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.conftest import Client, ClientFactory, Database, FakeClock

PASSWORD = "correct horse battery staple"
PAGE = {"Accept": "text/html,application/xhtml+xml"}
EVENT = {"event_type": "x"}

# Every route is either here or in `routes.OPEN`.
CLOSED = {
    f"GET {API}/realtime",
    f"GET {API}/stats",
    f"GET {API}/themes",
    f"GET {API}/letters",
    f"GET {API}/timeline",
    f"GET {API}/heatmap",
    f"GET {API}/sessions/summary",
    f"GET {API}/timeseries",
    f"GET {API}/pages",
    f"GET {API}/sources",
    f"GET {API}/devices",
    f"GET {API}/events",
    f"GET {API}/events/{{name}}/properties",
    f"GET {API}/export/{{what}}",
    f"GET {API}/ledger",
    f"GET {API}/reader",
    f"GET {API}/shares",
    f"POST {API}/shares",
    f"DELETE {API}/shares/{{id}}",
    "GET /badge/{metric:visitors|events|letters}.svg",
    "GET /dashboard",
    "GET /embed/chart.svg",
    "GET /ws/analytics",
    "GET /metrics",
}
OWN = ("/api/", "/badge/", "/dashboard", "/embed/", "/metrics")
# What is asked for a closed route where its template is no address.
ADDRESSES = {
    f"GET {API}/stats": "/stats?period=day",
    f"GET {API}/letters": "/letters?period=day",
    f"GET {API}/sessions/summary": "/sessions/summary?period=day",
    f"GET {API}/timeseries": "/timeseries?metric=visitors&period=day",
    f"GET {API}/pages": "/pages?period=day",
    f"GET {API}/sources": "/sources?period=day",
    f"GET {API}/devices": "/devices?by=os&period=day",
    f"GET {API}/events": "/events?period=day",
    f"GET {API}/events/{{name}}/properties": "/events/x/properties?period=day",
    f"GET {API}/export/{{what}}": "/export/events?period=day",
}


class Session:
    """A client without a memory: each request says itself what it brings."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def __call__(
        self, method: str, path: str, cookie: str | None = None, **options: Any
    ) -> aiohttp.ClientResponse:
        headers = options.pop("headers", {})
        if cookie is not None:
            headers = headers | {"Cookie": f"{COOKIE_NAME}={cookie}"}
        return await self._session.request(
            method, path, headers=headers, allow_redirects=False, **options
        )

    async def log_in(self, given: str = PASSWORD, **fields: str) -> aiohttp.ClientResponse:
        return await self("POST", "/login", data={"password": given, **fields})


@contextlib.asynccontextmanager
async def session(client: Client) -> AsyncIterator[Session]:
    jar = aiohttp.DummyCookieJar()
    headers = {"User-Agent": BROWSER}
    async with aiohttp.ClientSession(
        str(client.make_url("/")), cookie_jar=jar, headers=headers
    ) as opened_session:
        yield Session(opened_session)


def cookie_of(response: aiohttp.ClientResponse) -> str:
    return response.cookies[COOKIE_NAME].value


@pytest.fixture
async def guarded(make_client: ClientFactory) -> Client:
    return await make_client(dashboard_password=PASSWORD)


@pytest.fixture
async def ask(guarded: Client) -> AsyncIterator[Session]:
    async with session(guarded) as opened_session:
        yield opened_session


@pytest.fixture
async def owner(ask: Session) -> str:
    return cookie_of(await ask.log_in())


async def code(response: aiohttp.ClientResponse) -> str:
    return str((await response.json())["code"])


# --- what is closed -------------------------------------------------------------------------------


def test_every_route_is_listed_as_open_or_closed() -> None:
    config = Config(dashboard_password=PASSWORD)
    listed = {f"{route.method} {route.path}": route.handler for route in routes(config)}  # type: ignore[attr-defined]
    assert {name for name, handler in listed.items() if handler not in opened(config)} == CLOSED
    assert set(listed.values()) >= OPEN
    images = opened(Config(dashboard_password=PASSWORD, public_badge=True))
    assert images == OPEN | IMAGES


async def test_what_is_closed_asks_for_a_login_and_opens_with_it(ask: Session, owner: str) -> None:
    for name in CLOSED - {"GET /ws/analytics"}:
        method, template = name.split(" ")
        path = ADDRESSES.get(name, template).replace("{metric:visitors|events|letters}", "visitors")
        path = path.replace("{id}", "x")
        path = path if path.startswith(OWN) else API + path
        refused = await ask(method, path)
        assert (refused.status, await code(refused)) == (401, "login_required"), name
        assert refused.headers["WWW-Authenticate"] == 'Bearer realm="maicivy"'
        if method == "GET":
            answered = await ask(method, path, owner)
            assert answered.status == 200, name
            caching = answered.headers.get("Cache-Control", "no-store")
            assert "private" in caching or caching == "no-store", name
            head = await ask("HEAD", path)
            assert head.status == 401, name


async def test_what_is_open_stays_open(ask: Session) -> None:
    for method, path, status in (
        ("GET", f"{API}/me", 200),
        ("DELETE", f"{API}/me", 200),
        ("GET", "/health", 200),
        ("GET", "/health/deep", 200),
        ("GET", "/docs", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/static/docs.css", 200),
        ("GET", "/login", 200),
        ("GET", "/", 302),
        ("GET", "/nothing", 404),
        ("GET", f"{API}/nothing", 404),
        ("PUT", f"{API}/stats", 405),
    ):
        assert (await ask(method, path)).status == status, path
    assert (await ask("POST", f"{API}/event", json=EVENT)).status == 201
    assert (await ask("POST", f"{API}/events", json={"events": [EVENT]})).status == 201


async def test_without_a_password_all_is_public_and_nobody_administers(
    client: Client, tmp_path: Any, make_client: ClientFactory
) -> None:
    async with session(client) as ask:
        assert (await ask("GET", f"{API}/realtime")).headers["Cache-Control"] == "no-cache"
        assert (await ask("GET", f"{API}/realtime", "nonsense" * 8)).status == 200
        token = {"Authorization": "Bearer mct_nonsense"}
        assert (await ask("GET", f"{API}/realtime", headers=token)).status == 200
        assert await (await ask("GET", f"{API}/reader")).json() == {
            "success": True,
            "data": {"reader": "public", "password": False},
        }
        assert (await ask("GET", "/login")).status == 404
        for method in ("GET", "POST"):
            refused = await ask(method, f"{API}/shares", json={})
            assert (refused.status, await code(refused)) == (403, "no_password")
    # the site's own pages keep their addresses
    (tmp_path / "login.html").write_text("<title>mine</title>")
    site = await make_client(site_dir=tmp_path)
    assert "mine" in await (await site.get("/login")).text()


async def test_a_page_leads_to_the_login_and_the_api_does_not(ask: Session) -> None:
    led = await ask("GET", "/metrics?a=b&c=%26", headers=PAGE)
    assert led.status == 303
    assert led.headers["Location"] == "/login?next=/metrics%3Fa%3Db%26c%3D%2526"
    assert (await ask("HEAD", "/metrics", headers=PAGE)).status == 303
    assert (await ask("GET", f"{API}/realtime", headers=PAGE)).status == 401


async def test_the_site_stays_open_beside_it(make_client: ClientFactory, tmp_path: Any) -> None:
    (tmp_path / "index.html").write_text("<title>mine</title>")
    client = await make_client(site_dir=tmp_path, dashboard_password=PASSWORD)
    assert (await client.get("/")).status == 200


async def test_the_live_feed_asks_too_and_ends_with_its_reader(
    guarded: Client, ask: Session, owner: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "RECHECK_SECONDS", 0.05)
    with pytest.raises(WSServerHandshakeError) as refused:
        await guarded.ws_connect("/ws/analytics")
    assert refused.value.status == 401
    cookie = {"Cookie": f"{COOKIE_NAME}={owner}"}
    async with guarded.ws_connect("/ws/analytics", headers=cookie) as socket:
        assert (await socket.receive_json(timeout=5))["type"] == "initial_stats"
        await asyncio.sleep(0.2)
        assert not socket.closed
        clock.advance(days=30, seconds=1)
        while (message := await socket.receive(timeout=5)).type is WSMsgType.TEXT:
            pass
        assert message.type is WSMsgType.CLOSE
        assert socket.close_code == 1008


async def test_the_document_says_what_asks_for_a_login(ask: Session, client: Client) -> None:
    document = await (await ask("GET", "/openapi.json")).json()
    assert set(document["components"]["securitySchemes"]) == {"login", "token"}
    secured = {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if operation.get("security") == [{"login": []}, {"token": []}]
        and "401" in operation["responses"]
    }
    expected = {name.replace(":visitors|events|letters", "") for name in CLOSED}
    assert secured == expected - {"GET /ws/analytics"}
    assert {"/login", "/logout"} <= set(document["paths"])
    public = await (await client.get("/openapi.json")).json()
    assert "securitySchemes" not in public["components"]
    assert "/login" not in public["paths"]


# --- sessions -------------------------------------------------------------------------------------


async def test_a_login_is_a_cookie_that_lasts_thirty_days(
    ask: Session, clock: FakeClock, database: Database
) -> None:
    answer = await ask.log_in(next="/dashboard?period=week")
    assert answer.status == 303
    assert answer.headers["Location"] == "/dashboard?period=week"
    header = answer.headers["Set-Cookie"]
    assert header.endswith("; HttpOnly; Max-Age=2592000; Path=/; SameSite=Lax")
    cookie = cookie_of(answer)
    assert len(cookie) == SESSION_LENGTH
    assert cookie != cookie_of(await ask.log_in())
    data = (await (await ask("GET", f"{API}/reader", cookie)).json())["data"]
    assert data == {"reader": "owner", "password": True}
    # the page with the form is nobody's visit; what is stored comes after it in the queue
    assert (await ask("GET", "/login")).status == 200
    assert (await ask("POST", f"{API}/event", json=EVENT)).status == 201
    assert await database.fetchval("SELECT count(*) FROM analytics_events") == 1
    clock.advance(days=30, seconds=-5)
    assert (await ask("GET", f"{API}/realtime", cookie)).status == 200
    clock.advance(seconds=5)
    assert (await ask("GET", f"{API}/realtime", cookie)).status == 401


async def test_it_is_secure_over_https(make_client: ClientFactory) -> None:
    loopback = (ipaddress.ip_network("127.0.0.0/8"),)
    client = await make_client(dashboard_password=PASSWORD, trusted_proxies=loopback)
    async with session(client) as ask:
        over = {"X-Forwarded-Proto": "https"}
        answer = await ask("POST", "/login", data={"password": PASSWORD}, headers=over)
        assert answer.headers["Set-Cookie"].endswith("; Secure")


async def test_another_password_ends_all_sessions_and_another_instance_knows_them(
    ask: Session, owner: str, make_client: ClientFactory
) -> None:
    same = await make_client(dashboard_password=PASSWORD)
    other = await make_client(dashboard_password=f"{PASSWORD}!")
    keyed = await make_client(dashboard_password=PASSWORD, secret_key="another secret of some size")
    for client, status in ((same, 200), (other, 401), (keyed, 401)):
        async with session(client) as elsewhere:
            assert (await elsewhere("GET", f"{API}/realtime", owner)).status == status


async def test_a_cookie_that_is_not_ours_is_ignored(ask: Session, owner: str) -> None:
    forged = owner[:-1] + ("A" if owner[-1] != "A" else "B")
    for cookie in (
        "",
        "x" * 64,
        "=" * 64,
        "é" * 64,
        owner[:-1],
        owner + "A",
        forged,
        "mcs_" + "x" * 43,
    ):
        assert (await ask("GET", f"{API}/realtime", cookie)).status == 401, cookie
        assert (await ask("GET", "/login", cookie)).status == 200, cookie
    several = {"Cookie": f"{COOKIE_NAME}=x; a=b; {COOKIE_NAME}={'y' * 64}; {COOKIE_NAME}={owner}"}
    assert (await ask("GET", f"{API}/realtime", headers=several)).status == 200


async def test_logging_out_has_the_browser_forget(ask: Session, owner: str) -> None:
    answer = await ask("POST", "/logout", owner)
    assert (answer.status, answer.headers["Location"]) == (303, "/login")
    assert answer.headers["Set-Cookie"].startswith(f"{COOKIE_NAME}=; HttpOnly; Max-Age=0;")


async def test_who_is_logged_in_is_led_on(ask: Session, owner: str) -> None:
    answer = await ask("GET", "/login?next=/metrics", owner)
    assert (answer.status, answer.headers["Location"]) == (303, "/metrics")


# --- the form -------------------------------------------------------------------------------------


async def test_the_page_works_alone_and_speaks_two_languages(ask: Session) -> None:
    page = await ask(
        "GET", "/login?next=/a%22%3E%3Cb", headers={"Accept-Language": "fr-CH, en;q=.5"}
    )
    text = await page.text()
    assert page.headers["Content-Security-Policy"].startswith(
        "default-src 'none'; style-src 'self'"
    )
    assert (page.headers["Cache-Control"], page.headers["Vary"]) == ("no-store", "Accept-Language")
    assert "Mot de passe" in text
    assert '<html lang="fr">' in text
    assert "<script" not in text
    assert " style=" not in text
    assert 'value="/a&quot;&gt;&lt;b"' in text
    assert (await ask("GET", "/static/login.css")).status == 200


@pytest.mark.parametrize("given", ["", "wrong", PASSWORD[:-1], PASSWORD.upper(), "x" * 600])
async def test_a_wrong_password_is_told_and_gives_nothing(ask: Session, given: str) -> None:
    answer = await ask.log_in(given, next="/metrics")
    text = await answer.text()
    assert answer.status == 403
    assert "That is not the password." in text
    assert 'value="/metrics"' in text
    assert COOKIE_NAME not in answer.headers.get("Set-Cookie", "")
    if given:
        assert given not in text


async def test_keyboards_may_compose_accents_as_they_like(make_client: ClientFactory) -> None:
    client = await make_client(dashboard_password="caf\u00e9 au lait s'il vous")
    async with session(client) as ask:
        assert (await ask.log_in(" cafe\u0301 au lait s'il vous ")).status == 303


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("text/plain", b"password=x", 415),
        ("application/x-www-form-urlencoded", b"password=%ff", 400),
        ("application/x-www-form-urlencoded", "password=é".encode(), 400),
        ("application/x-www-form-urlencoded", b"&".join([b"a=b"] * 11), 400),
        ("application/x-www-form-urlencoded", b"password=" + b"x" * 9000, 413),
        ("application/x-www-form-urlencoded; charset=latin-1", b"password=x", 415),
        ("application/x-www-form-urlencoded", b"", 403),
        ("application/x-www-form-urlencoded", b"password=%00", 403),
    ],
)
async def test_what_is_no_form_is_refused(
    ask: Session, content_type: str, body: bytes, status: int
) -> None:
    answer = await ask("POST", "/login", data=body, headers={"Content-Type": content_type})
    assert answer.status == status


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: a=b",
        "evil.example",
        "/é",
        "/" + "a" * 1000,
        "/login?next=/login",
        "/logout",
        "",
    ],
)
async def test_it_leads_nowhere_but_to_this_server(ask: Session, wanted: str) -> None:
    answer = await ask.log_in(next=wanted)
    assert (answer.status, answer.headers["Location"]) == (303, "/dashboard")


# --- other pages ----------------------------------------------------------------------------------


async def test_other_pages_can_act_for_nobody(guarded: Client, ask: Session, owner: str) -> None:
    own = f"http://{guarded.host}:{guarded.port}"
    for headers, allowed in (
        ({}, True),
        ({"Origin": own}, True),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": own, "Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "http://127.0.0.1:1"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://[x"}, False),
    ):
        tried: list[tuple[str, str, int, dict[str, Any]]] = [
            ("POST", "/login", 303, {"data": {"password": PASSWORD}}),
            ("POST", "/logout", 303, {}),
            ("POST", f"{API}/shares", 201, {"json": {}}),
            ("DELETE", f"{API}/shares/x", 404, {}),
        ]
        for method, path, status, body in tried:
            answer = await ask(method, path, owner, headers=headers, **body)
            assert answer.status == (status if allowed else 403), (headers, path)
        if not allowed:
            assert await code(answer) == "origin_not_allowed"


# --- attempts -------------------------------------------------------------------------------------


async def test_ten_attempts_a_minute_for_one_address_over_all_instances(
    make_client: ClientFactory, clock: FakeClock
) -> None:
    loopback = (ipaddress.ip_network("127.0.0.0/8"),)
    settings = {"dashboard_password": PASSWORD, "trusted_proxies": loopback}
    async with (
        session(await make_client(**settings)) as one,
        session(await make_client(**settings)) as two,
    ):
        statuses = [(await (one, two)[n % 2].log_in("wrong")).status for n in range(12)]
        assert statuses == [403] * 10 + [429] * 2
        refused = await one.log_in()
        assert refused.status == 429
        assert 0 < int(refused.headers["Retry-After"]) <= 60
        assert "Too many attempts" in await refused.text()
        elsewhere = {"X-Forwarded-For": "192.0.2.7"}
        answer = await two("POST", "/login", data={"password": PASSWORD}, headers=elsewhere)
        assert answer.status == 303


async def test_a_crowd_has_a_limit_too(
    make_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "ALL_ATTEMPTS", 3)
    loopback = (ipaddress.ip_network("127.0.0.0/8"),)
    client = await make_client(dashboard_password=PASSWORD, trusted_proxies=loopback)
    async with session(client) as ask:
        cookie = cookie_of(await ask.log_in())
        statuses = []
        for n in range(4):
            headers = {"X-Forwarded-For": f"192.0.2.{n}"}
            answer = await ask("POST", "/login", data={"password": "x"}, headers=headers)
            statuses.append(answer.status)
        assert statuses == [403, 403, 429, 429]
        assert (await ask("GET", f"{API}/realtime", cookie)).status == 200


async def test_few_passwords_are_compared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most, gate = 0, 0, threading.Event()
    lock = threading.Lock()
    known = await Password.of(PASSWORD, "secret")

    def slow(given: str, salt: bytes) -> bytes:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        gate.wait(10)
        with lock:
            at_once -= 1
        return b""

    monkeypatch.setattr(password, "_derive", slow)
    asked = [asyncio.ensure_future(known.matches("x")) for _ in range(14)]
    await asyncio.sleep(0.2)
    # whoever leaves keeps the place until the thread is done
    asked[0].cancel()
    await asyncio.sleep(0.1)
    assert most == password.AT_ONCE
    gate.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert most == password.AT_ONCE
    busy = [one for one in results if isinstance(one, Unavailable)]
    assert len(busy) == 14 - password.AT_ONCE - password.WAITING
    assert results.count(False) == password.AT_ONCE + password.WAITING - 1


async def test_what_is_compared_is_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[dict[str, Any]] = []
    real: Callable[..., bytes] = hashlib.scrypt

    def seen(*arguments: Any, **options: Any) -> bytes:
        used.append(options)
        return real(*arguments, **options)

    monkeypatch.setattr(hashlib, "scrypt", seen)
    known = await Password.of(PASSWORD, "secret")
    assert await known.matches(PASSWORD)
    assert not await known.matches("wrong")
    assert [(one["n"], one["r"], one["p"]) for one in used] == [(16384, 8, 5)] * 3
    now = dt.datetime.now(dt.UTC)
    assert known.signed(known.session(now), now)
    assert not known.signed(known.session(now + dt.timedelta(minutes=2)), now)


async def test_when_the_database_is_gone_who_knows_the_password_still_reads(
    guarded: Client, ask: Session, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: Any) -> Any:
        raise StorageUnavailable("gone")

    monkeypatch.setattr(Postgres, "fetch", gone)
    assert (await ask("GET", f"{API}/realtime", owner)).status == 200
    assert (await ask("GET", f"{API}/realtime")).status == 401
    assert (await ask("GET", f"{API}/realtime", "mcs_" + "x" * 43)).status == 503


async def test_while_the_database_is_gone_the_form_says_so(
    ask: Session, guarded: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: Any) -> Any:
        raise StorageUnavailable("gone")

    monkeypatch.setattr(guarded.app[keys.ADDRESSES], "load", gone)
    answer = await ask.log_in()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert "The server is busy." in await answer.text()


async def test_nothing_is_logged_of_what_was_tried(
    ask: Session, caplog: pytest.LogCaptureFixture, guarded: Client
) -> None:
    caplog.set_level("DEBUG")
    cookie = cookie_of(await ask.log_in())
    await ask.log_in("not quite the right one")
    await ask("GET", f"{API}/realtime", headers={"Authorization": "Bearer mct_attempted"})
    assert PASSWORD not in repr(guarded.app[keys.CONFIG])
    for secret in (PASSWORD, "not quite", "mct_attempted", cookie):
        assert secret not in caplog.text
    assert "a wrong password was given" in caplog.text


async def test_small_groups_are_shown_to_the_operator_alone(
    guarded: Client, ask: Session, owner: str
) -> None:
    await ask("POST", f"{API}/event", json={"event_type": "page_view", "page_url": "/rare"})
    grants = guarded.app[keys.ACCESS].grants
    _, link = await grants.create(Kind.SHARE, days=1)
    _, token = await grants.create(Kind.TOKEN, name="bot")
    bearer = {"Authorization": f"Bearer {token}"}
    for brought, shown in (
        ({"cookie": owner}, "/rare"),
        ({"headers": bearer}, "/rare"),
        ({"cookie": link}, "(other)"),
    ):
        answer = await ask("GET", f"{API}/pages?period=day", **brought)
        assert [row["path"] for row in (await answer.json())["data"]] == [shown]
        assert answer.headers["Cache-Control"].startswith("private")
