"""Who is one visitor: cookies, no cookies, proxies, forgeries."""

from __future__ import annotations

import base64
import datetime as dt
from ipaddress import ip_address, ip_network

import pytest

from maicivy.ingest.network import Proxies, read_address
from maicivy.ingest.visitor import (
    COOKIE_NAME,
    COOKIE_SECONDS,
    Keyring,
    Token,
    address_hash,
    limiter_id,
)
from maicivy.periods import utc_now
from maicivy.web import keys
from tests.conftest import API, Client, ClientFactory, Database, FakeClock, send_event

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
VISITORS = "SELECT count(*) FROM visitors"


async def post(client: Client, **headers: str) -> str | None:
    """Post an event without the cookie jar; return the cookie that was set."""
    client.session.cookie_jar.clear()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await client.post(f"{API}/event", json={"event_type": "x"}, headers=names)
    assert response.status == 201
    client.session.cookie_jar.clear()
    cookie = response.cookies.get(COOKIE_NAME)
    return cookie.value if cookie else None


async def test_the_cookie_and_its_attributes(client: Client, database: Database) -> None:
    response = await client.post(f"{API}/event", json={"event_type": "x"}, headers=SAME_ORIGIN)
    cookie = response.cookies[COOKIE_NAME]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert (int(cookie["max-age"]), cookie["secure"]) == (30 * 86_400, "")
    again = await client.post(f"{API}/event", json={"event_type": "x"}, headers=SAME_ORIGIN)
    assert COOKIE_NAME not in again.cookies
    assert await database.fetchval(VISITORS) == 1
    stored = str(await database.fetch("SELECT * FROM visitors"))
    assert cookie.value not in stored


async def test_secure_behind_a_trusted_proxy(make_client: ClientFactory) -> None:
    client = await make_client(trusted_proxies=(ip_network("127.0.0.0/8"),))
    headers = {"X-Forwarded-Proto": "https"}
    response = await client.post(f"{API}/event", json={"event_type": "x"}, headers=headers)
    assert response.cookies[COOKIE_NAME]["secure"] is True
    assert "Strict-Transport-Security" in response.headers


async def test_who_comes_without_a_cookie(client: Client, database: Database) -> None:
    # a browser on this site is somebody new each time; another client is one visitor for the day
    assert await post(client, Sec_Fetch_Site="same-origin") != await post(
        client, Sec_Fetch_Site="none"
    )
    assert await database.fetchval(VISITORS) == 2
    first = await post(client, User_Agent="curl/8")
    assert first is not None
    assert await post(client, User_Agent="curl/8") is not None
    assert await database.fetchval(VISITORS) == 3
    await post(client, User_Agent="curl/9")
    assert await database.fetchval(VISITORS) == 4
    assert await post(client, Sec_Fetch_Site="cross-site") is None
    assert await database.fetchval(VISITORS) == 5
    assert await post(client, User_Agent="curl/8", Cookie=f"{COOKIE_NAME}={first}") is None
    assert await database.fetchval(VISITORS) == 5


async def test_forged_cookies_are_replaced(client: Client, database: Database) -> None:
    good = await post(client, Sec_Fetch_Site="none")
    assert good is not None
    raw = bytearray(base64.urlsafe_b64decode(good))
    forgeries = ["", "x", good[:-1], good + "A", good.lower(), "A" * 48, "é" * 48, "%00" * 16]
    for position in (0, 17, 30):
        changed = bytearray(raw)
        changed[position] ^= 1
        forgeries.append(base64.urlsafe_b64encode(bytes(changed)).decode())
    for forgery in forgeries:
        replaced = await post(client, User_Agent="curl/8", Cookie=f"{COOKIE_NAME}={forgery}")
        assert replaced not in {None, good}, forgery
    assert await database.fetchval(VISITORS) == 2  # the good one, and curl for today


async def test_a_cookie_lives_thirty_days_from_its_issue(
    make_client: ClientFactory, clock: FakeClock
) -> None:
    client = await make_client()
    await send_event(client)
    clock.advance(days=29, hours=23)
    response = await client.post(f"{API}/event", json={"event_type": "x"})
    assert COOKIE_NAME not in response.cookies
    clock.advance(hours=2)
    cookie = client.session.cookie_jar.filter_cookies(client.make_url("/")).get(COOKIE_NAME)
    assert cookie is not None
    replaced = await post(client, Cookie=f"{COOKIE_NAME}={cookie.value}")
    assert replaced not in {None, cookie.value}


async def test_dropping_cookies_does_not_make_a_crowd(client: Client, database: Database) -> None:
    for _ in range(40):
        await post(client, Sec_Fetch_Site="same-origin")
    assert await database.fetchval(VISITORS) == 31  # 30 random ones, then one for the day


async def test_workers_share_the_number_of_random_visitors(
    make_client: ClientFactory, database: Database
) -> None:
    client = await make_client(workers=3)
    for _ in range(15):
        await post(client, Sec_Fetch_Site="same-origin")
    assert await database.fetchval(VISITORS) == 11  # 10 of the 30, then one for the day


async def test_two_instances_agree_and_a_secret_of_ones_own_is_used(
    make_client: ClientFactory, database: Database
) -> None:
    first, second = await make_client(), await make_client()
    cookie = await post(first, Sec_Fetch_Site="none")
    assert await post(second, Cookie=f"{COOKIE_NAME}={cookie}") is None
    assert await database.fetchval(VISITORS) == 1
    other = await make_client(secret_key="another secret of some length")
    assert await post(other, Cookie=f"{COOKIE_NAME}={cookie}") is not None


async def test_the_address_key_is_forgotten(
    make_client: ClientFactory, database: Database, clock: FakeClock
) -> None:
    clock.freeze(dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC))
    client = await make_client(trusted=False)
    await post(client, User_Agent="curl/8")
    before = await database.fetchval("SELECT ip_hash FROM visitors")
    clock.advance(days=1)
    await post(client, User_Agent="curl/8")
    hashes = {row["ip_hash"] for row in await database.fetch("SELECT ip_hash FROM visitors")}
    assert len(hashes) == 2
    assert before in hashes
    await client.app[keys.ADDRESSES].rotate(clock().date())
    days = await database.fetch("SELECT day FROM address_keys ORDER BY day")
    assert [row["day"] for row in days] == [dt.date(2026, 11, 25), dt.date(2026, 11, 26)]
    assert client.app[keys.ADDRESSES].get(dt.date(2026, 11, 24)) is None


def test_keys_are_separate_and_ids_lead_nowhere() -> None:
    keyring, other = Keyring("a secret of some length"), Keyring("another of some length")
    token = Token(b"\x07" * 16, int(utc_now().timestamp()))
    visitor = keyring.visitor_id(token)
    today, tomorrow = dt.date(2026, 11, 24), dt.date(2026, 11, 25)
    ids = {
        visitor,
        other.visitor_id(token),
        keyring.public_id(visitor, today),
        keyring.public_id(visitor, tomorrow),
        other.public_id(visitor, today),
    }
    assert len(ids) == 5
    assert all(identity.bytes != token.id for identity in ids)
    assert keyring.read_cookie(keyring.cookie(token), utc_now()) == token
    assert other.read_cookie(keyring.cookie(token), utc_now()) is None


@pytest.mark.parametrize("shift", [-COOKIE_SECONDS - 5, 2 * 86_400])
def test_tokens_of_another_time(shift: int) -> None:
    keyring, now = Keyring("a secret of some length"), utc_now()
    token = Token(b"\x07" * 16, int(now.timestamp()) + shift)
    assert keyring.read_cookie(keyring.cookie(token), now) is None


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "1.1.1.1", "203.0.113.9"),  # not a proxy of ours
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"),  # what stands before may be a lie
        ("10.0.0.1", "198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "junk, 198.51.100.7:1234", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, junk", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:10.0.0.1", "2001:db8::2", "2001:db8::2"),
        ("fe80::1%eth0", "", "fe80::1"),
        (None, "", "::"),
    ],
)
def test_the_address_behind_proxies(peer: str | None, forwarded: str, client: str) -> None:
    proxies = Proxies([ip_network("10.0.0.0/8")])
    assert proxies.client_address(peer, forwarded) == ip_address(client).packed


def test_limits_are_for_an_ipv4_address_or_an_ipv6_network() -> None:
    key = b"k" * 32
    limiter = [limiter_id(key, read_address(text)) for text in (
        "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "192.0.2.1", "192.0.2.2",
    )]  # fmt: skip
    assert limiter[0] == limiter[1]
    assert len(set(limiter)) == 4
    address = read_address("192.0.2.1")
    assert address_hash(key, address) != address_hash(b"x", address)
