"""Share links and tokens: made, followed, listed, revoked, expired; what they may not do."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import time
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from maicivy.errors import GrantRefused, StorageUnavailable
from maicivy.storage import grants as grants_module
from maicivy.storage.grants import Grants, Kind
from maicivy.storage.postgres import Postgres
from maicivy.web import access, keys
from maicivy.web.access import COOKIE_NAME
from tests.conftest import API
from tests.integration.test_access import PASSWORD, Session, code, cookie_of, session
from tests.integration.test_cli import Server, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.conftest import Client, ClientFactory, Database, FakeClock

SHARES = f"{API}/shares"
# Only the dashboard's part of the link is of interest.
VIEW = "period=week&path=/cv%3Fa"


@pytest.fixture
async def guarded(make_client: ClientFactory) -> Client:
    return await make_client(dashboard_password=PASSWORD)


@pytest.fixture
async def ask(guarded: Client) -> AsyncIterator[Session]:
    async with session(guarded) as opened:
        yield opened


@pytest.fixture
async def owner(ask: Session) -> str:
    return cookie_of(await ask.log_in())


@pytest.fixture
def grants(guarded: Client) -> Grants:
    known: Grants = guarded.app[keys.ACCESS].grants
    return known


async def make_share(ask: Session, owner: str, **body: Any) -> dict[str, Any]:
    answer = await ask("POST", SHARES, owner, json=body)
    assert answer.status == 201, await answer.text()
    data: dict[str, Any] = (await answer.json())["data"]
    return data


async def data_of(answer: aiohttp.ClientResponse) -> Any:
    assert answer.status == 200, await answer.text()
    return (await answer.json())["data"]


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


# --- share links ----------------------------------------------------------------------------------


async def test_a_link_reads_everything_until_it_expires(
    guarded: Client, ask: Session, owner: str, clock: FakeClock
) -> None:
    share = await make_share(ask, owner, days=2.0, view=VIEW, name="for the team")
    assert share["url"].startswith(f"http://{guarded.host}:{guarded.port}/share/mcs_")
    followed = await ask("GET", f"/share/{share['url'].rpartition('/')[2]}")
    assert (followed.status, followed.headers["Location"]) == (303, f"/dashboard?{VIEW}")
    header = followed.headers["Set-Cookie"]
    assert "; HttpOnly; " in header
    assert f"Max-Age={2 * 86400 - 1}; Path=/; SameSite=Lax" in header.replace("172800", "172799")
    cookie = cookie_of(followed)
    for path in ("realtime", "timeline", "stats?period=day", "ledger"):
        assert (await ask("GET", f"{API}/{path}", cookie)).status == 200
    reader = await data_of(await ask("GET", f"{API}/reader", cookie))
    assert reader == {"reader": "shared", "password": True}
    clock.advance(days=2, seconds=1)
    assert (await ask("GET", f"{API}/realtime", cookie)).status == 401
    again = await ask("GET", f"/share/{cookie}", headers={"Accept-Language": "fr"})
    assert again.status == 404
    assert "Ce lien a expiré" in await again.text()
    assert "Set-Cookie" not in again.headers


async def test_who_has_a_link_or_a_token_administers_nothing(
    ask: Session, owner: str, grants: Grants
) -> None:
    share = await make_share(ask, owner)
    link = share["url"].rpartition("/")[2]
    _, token = await grants.create(Kind.TOKEN, name="bot")
    for brought in ({"cookie": link}, {"headers": bearer(token)}):
        for method, path in (
            ("GET", SHARES),
            ("POST", SHARES),
            ("DELETE", f"{SHARES}/{share['id']}"),
        ):
            refused = await ask(method, path, json={}, **brought)
            assert (refused.status, await code(refused)) == (403, "read_only")
    assert len(await data_of(await ask("GET", SHARES, owner))) == 1


async def test_links_are_listed_without_their_secrets_and_revoked(
    ask: Session, owner: str, clock: FakeClock, database: Database
) -> None:
    first = await make_share(ask, owner, name="first", view="period=day")
    clock.advance(seconds=1)
    second = await make_share(ask, owner, name=None, view=None)
    listed = await data_of(await ask("GET", SHARES, owner))
    assert [one["id"] for one in listed] == [second["id"], first["id"]]
    assert (listed[1]["name"], listed[1]["view"], listed[1]["last_used_at"]) == (
        "first",
        "period=day",
        None,
    )
    expected = dt.datetime.fromisoformat(listed[0]["created_at"]) + dt.timedelta(days=7)
    assert dt.datetime.fromisoformat(listed[0]["expires_at"]) == expected
    secret = first["url"].rpartition("/")[2]
    stored = str(await database.fetch("SELECT * FROM grants"))
    assert secret not in str(listed) + stored
    assert hashlib.sha256(secret.encode()).hexdigest() in {
        row["hash"]
        for row in await database.fetch("SELECT encode(secret_hash, 'hex') AS hash FROM grants")
    }
    assert (await ask("GET", f"{API}/realtime", secret)).status == 200
    gone = await data_of(await ask("DELETE", f"{SHARES}/{first['id']}", owner))
    assert gone == {"revoked": first["id"]}
    assert (await ask("GET", f"{API}/realtime", secret)).status == 401
    for name in (first["id"], "x", str(uuid.uuid4())):
        answer = await ask("DELETE", f"{SHARES}/{name}", owner)
        assert (answer.status, await code(answer)) == (404, "not_found")


async def test_a_live_feed_ends_when_its_link_is_revoked(
    guarded: Client, ask: Session, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "RECHECK_SECONDS", 0.05)
    share = await make_share(ask, owner)
    cookie = {"Cookie": f"{COOKIE_NAME}={share['url'].rpartition('/')[2]}"}
    async with guarded.ws_connect("/ws/analytics", headers=cookie) as socket:
        await asyncio.sleep(0.2)
        assert not socket.closed
        await ask("DELETE", f"{SHARES}/{share['id']}", owner)
        while (await socket.receive(timeout=5)).type is WSMsgType.TEXT:
            pass
        assert socket.close_code == 1008


async def test_who_is_logged_in_stays_so_when_following_a_link(ask: Session, owner: str) -> None:
    share = await make_share(ask, owner)
    followed = await ask("GET", f"/share/{share['url'].rpartition('/')[2]}", owner)
    assert (followed.status, followed.headers["Location"]) == (303, "/dashboard")
    assert "Set-Cookie" not in followed.headers


async def test_without_a_password_a_link_opens_the_view_and_gives_no_cookie(client: Client) -> None:
    _, secret = await client.app[keys.ACCESS].grants.create(Kind.SHARE, view="period=day", days=1)
    async with session(client) as ask:
        followed = await ask("GET", f"/share/{secret}")
        assert followed.headers["Location"] == "/dashboard?period=day"
        assert "Set-Cookie" not in followed.headers
        gone = await ask("GET", "/share/mcs_nothing")
        assert gone.status == 404
        assert 'href="/login"' not in await gone.text()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"days": 0}, "days"),
        ({"days": 366}, "days"),
        ({"days": "7"}, "days"),
        ({"days": 1.5}, "days"),
        ({"days": True}, "days"),
        ({"days": None}, "days"),
        ({"view": "a b"}, "view"),
        ({"view": "a\\b"}, "view"),
        ({"view": "a#b"}, "view"),
        ({"view": "é"}, "view"),
        ({"view": "a" * 501}, "view"),
        ({"view": 0}, "view"),
        ({"name": "a" * 51}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": False}, "name"),
    ],
)
async def test_a_wrong_field_is_named(
    ask: Session, owner: str, body: dict[str, Any], named: str
) -> None:
    answer = await ask("POST", SHARES, owner, json=body)
    assert (answer.status, await code(answer)) == (400, "invalid_field")
    assert f"The field {named} must" in (await answer.json())["error"]


async def test_what_is_no_json_is_refused(ask: Session, owner: str) -> None:
    for headers, body, status in (
        ({"Content-Type": "text/plain"}, "{}", 415),
        ({"Content-Type": "application/json"}, "{", 400),
        ({"Content-Type": "application/json"}, "[]", 400),
        ({"Content-Type": "application/json"}, " " * 20_000, 413),
    ):
        assert (await ask("POST", SHARES, owner, data=body, headers=headers)).status == status


async def test_their_number_is_bounded_and_expired_ones_make_room(
    ask: Session, owner: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, grants: Grants
) -> None:
    monkeypatch.setattr(grants_module, "MAX_GRANTS", 5)
    real = Postgres.run

    async def slow(self: Postgres, connection: Any, name: str, *values: Any) -> Any:
        rows = await real(self, connection, name, *values)
        await asyncio.sleep(0.05 if name == "select_grants" else 0)
        return rows

    monkeypatch.setattr(Postgres, "run", slow)
    answers = await asyncio.gather(
        *(ask("POST", SHARES, owner, json={"days": 1}) for _ in range(8))
    )
    assert sorted(answer.status for answer in answers) == [201] * 5 + [409] * 3
    refused = next(answer for answer in answers if answer.status == 409)
    assert await code(refused) == "too_many_shares"
    await grants.create(Kind.TOKEN, name="others")  # has a number of its own
    clock.advance(days=1)
    assert len(await grants.listed(Kind.SHARE)) == 0
    await make_share(ask, cookie_of(await ask.log_in()))


# --- tokens ---------------------------------------------------------------------------------------


async def test_a_token_reads_for_a_program(ask: Session, grants: Grants, clock: FakeClock) -> None:
    _, secret = await grants.create(Kind.TOKEN, name="bot", days=1)
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} {secret}"}
        assert (await ask("GET", f"{API}/timeline", headers=headers)).status == 200
    assert (await ask("GET", "/metrics", headers=bearer(secret))).status == 200
    data = await data_of(await ask("GET", f"{API}/reader", headers=bearer(secret)))
    assert data == {"reader": "machine", "password": True}
    clock.advance(days=1)
    assert (await ask("GET", f"{API}/timeline", headers=bearer(secret))).status == 401


async def test_a_wrong_token_is_told_even_beside_a_good_cookie(
    ask: Session, owner: str, grants: Grants
) -> None:
    share, link = await grants.create(Kind.SHARE, days=1)
    _, token = await grants.create(Kind.TOKEN, name="bot")
    for wrong in ("x", "mct_x", "mct_" + "é", link, token[:-1], "a" * 5000):
        answer = await ask("GET", f"{API}/realtime", owner, headers=bearer(wrong))
        assert answer.status == 401
        expected = 'Bearer realm="maicivy", error="invalid_token"'
        assert answer.headers["WWW-Authenticate"] == expected
    # other schemes are a proxy's business, and a token is no cookie
    basic = {"Authorization": "Basic eDp5"}
    assert (await ask("GET", f"{API}/realtime", owner, headers=basic)).status == 200
    assert (await ask("GET", f"{API}/realtime", token)).status == 401
    assert share.name == ""


async def test_its_use_is_noted_once_an_hour(
    ask: Session, grants: Grants, clock: FakeClock, database: Database
) -> None:
    clock.freeze(dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC))
    _, secret = await grants.create(Kind.TOKEN, name="bot")
    noted = "SELECT last_used_at FROM grants"
    assert await database.fetchval(noted) is None
    seen = []
    for minutes in (0, 59, 1, 59):
        clock.advance(minutes=minutes)
        assert (await ask("GET", f"{API}/realtime", headers=bearer(secret))).status == 200
        seen.append((await database.fetchval(noted)).strftime("%H:%M"))
    assert seen == ["12:00", "12:00", "13:00", "13:00"]


async def test_a_name_is_taken_once(grants: Grants) -> None:
    await grants.create(Kind.TOKEN, name="bot")
    with pytest.raises(GrantRefused, match="called bot already"):
        await grants.create(Kind.TOKEN, name="bot")


# --- what is in memory ----------------------------------------------------------------------------


async def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    real = Postgres.fetch

    async def fetch(self: Postgres, name: str, *values: Any) -> Any:
        if "grant" in name:  # the program's own tasks ask as well
            asked.append(name)
        return await real(self, name, *values)

    monkeypatch.setattr(Postgres, "fetch", fetch)
    return asked


async def test_known_ones_cost_no_statement_and_strangers_share_one(
    grants: Grants, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grants_module, "FRESH_SECONDS", 60.0)
    _, secret = await grants.create(Kind.TOKEN, name="bot")
    assert await grants.find(Kind.TOKEN, secret)
    asked = await counted(monkeypatch)
    for _ in range(20):
        assert await grants.find(Kind.TOKEN, secret)
    assert asked == []
    found = await asyncio.gather(*(grants.find(Kind.TOKEN, f"mct_{n}") for n in range(50)))
    assert found == [None] * 50
    assert 1 <= len(asked) <= 2


async def test_one_made_or_revoked_elsewhere_is_known_at_once_or_within_a_second(
    make_client: ClientFactory, grants: Grants, monkeypatch: pytest.MonkeyPatch
) -> None:
    other: Grants = (await make_client(dashboard_password=PASSWORD)).app[keys.ACCESS].grants
    assert await other.find(Kind.TOKEN, "mct_warm") is None
    grant, secret = await grants.create(Kind.TOKEN, name="bot")
    assert await other.find(Kind.TOKEN, secret)
    monkeypatch.setattr(grants_module, "FRESH_SECONDS", 0.05)
    await grants.revoke(Kind.TOKEN, grant.id)
    await asyncio.sleep(0.06)
    assert await other.find(Kind.TOKEN, secret) is None


async def test_while_postgresql_is_away_known_ones_are_good_for_a_minute(
    grants: Grants, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grants_module, "FRESH_SECONDS", 0.0)
    _, secret = await grants.create(Kind.TOKEN, name="bot")
    assert await grants.find(Kind.TOKEN, secret)
    real = Postgres.fetch

    async def gone(*_: Any) -> Any:
        await asyncio.sleep(0.05)
        raise StorageUnavailable("gone")

    monkeypatch.setattr(Postgres, "fetch", gone)
    assert await grants.find(Kind.TOKEN, secret)
    started = asyncio.get_running_loop().time()
    asked = (grants.find(Kind.TOKEN, "mct_x") for _ in range(100))
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(one) for one in results} == {StorageUnavailable}
    # nobody waits for the attempts of all the others
    assert asyncio.get_running_loop().time() - started < 2
    monkeypatch.setattr(grants_module, "STALE_SECONDS", 0.0)
    with pytest.raises(StorageUnavailable):
        await grants.find(Kind.TOKEN, secret)
    monkeypatch.setattr(Postgres, "fetch", real)
    assert await grants.find(Kind.TOKEN, secret)


# --- the command line -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("grants")
    server = Server(folder / "data", MAICIVY_DASHBOARD_PASSWORD=PASSWORD, MAICIVY_WORKERS="2")
    yield server
    assert server.stop() == 0
    for secret in (PASSWORD, "mcs_", "mct_"):
        assert secret not in server.log.read_text()


def status_of(server: Server, path: str, headers: dict[str, str]) -> int:
    async def asked() -> int:
        url = f"http://127.0.0.1:{server.port}{path}"
        async with (
            aiohttp.ClientSession() as plain,
            plain.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status

    return asyncio.run(asked())


def test_tokens_by_hand(server: Server) -> None:
    made = run("token", "create", "nightly", "--days", "3", **server.settings)
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert "Good until" in made.stderr
    assert status_of(server, f"{API}/realtime", bearer(secret)) == 200
    twice = run("token", "create", "nightly", **server.settings)
    assert (twice.returncode, "called nightly already" in twice.stderr) == (2, True)
    listed = run("token", "list", **server.settings).stdout
    assert "nightly" in listed
    assert secret not in listed
    assert run("token", "revoke", "nightly", **server.settings).returncode == 0
    for _ in range(50):
        if status_of(server, f"{API}/realtime", bearer(secret)) == 401:
            break
        time.sleep(0.1)
    else:
        pytest.fail("a revoked token is good still")
    gone = run("token", "revoke", "nightly", **server.settings)
    assert (gone.returncode, "There is no token 'nightly'." in gone.stderr) == (2, True)
    assert "There are none." in run("token", "list", **server.settings).stdout


def test_links_by_hand(server: Server) -> None:
    options = ("--days", "1", "--view", "?period=week", "--name", "team")
    made = run("share", *options, **server.settings)
    assert made.returncode == 0, made.stderr
    address = made.stdout.strip()
    base = f"http://127.0.0.1:{server.port}/share/mcs_"
    assert address.startswith(base)
    assert status_of(server, address.removeprefix(base[: base.index("/share")]), {}) == 303
    listed = run("share", "--list", **server.settings).stdout
    assert "team period=week" in listed
    identity = listed.split()[0]
    assert run("share", "--revoke", identity, **server.settings).returncode == 0
    assert run("share", "--revoke", identity, **server.settings).returncode == 2
    elsewhere = run("share", "--url", "https://stats.example/", **server.settings).stdout
    assert elsewhere.startswith("https://stats.example/share/mcs_")


@pytest.mark.parametrize(
    "arguments",
    [
        ("share", "--days", "0"),
        ("share", "--days", "366"),
        ("share", "--days", "x"),
        ("share", "--view", "a b"),
        ("share", "--name", "x" * 51),
        ("share", "--url", "ftp://x"),
        ("token", "create", "a b"),
        ("token", "create", "ok", "--days", "²"),
        ("token",),
        ("token", "fly"),
        ("share", "--list", "--revoke", "x"),
    ],
)
def test_a_mistake_is_one_sentence(server: Server, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, **server.settings)
    assert result.returncode == 2, result.stdout
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
