"""Nothing that names a visitor is kept anywhere: planted in every place, looked for in every other.

The real program runs as a process of its own. Everything a client controls is filled with values
of `canaries.py`; then all that is stored, published, logged, measured and answered is searched for
them in plain, URL-encoded, as base64, as hex and as an unkeyed hash.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import aiohttp
import asyncpg
import pytest
import redis
from yarl import URL

from maicivy import embedded
from maicivy.embedded.programs import find_postgres
from tests.conftest import until
from tests.integration.canaries import (
    ALWAYS,
    CLIENT_IPV4,
    CLIENT_IPV6,
    FRAGMENT,
    HEADERS,
    IN_TEXTS,
    NAMED,
    REFERRER_FRAGMENT,
    REFERRER_PASSWORD,
    REFERRER_QUERY,
    REFERRER_USER,
    SHAPES,
    UNLISTED,
    USER_AGENT,
    find,
)
from tests.integration.test_cli import ROOT, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# The visits take a quarter of a minute, and more where the machine is busy.
pytestmark = pytest.mark.timeout(300)

API = "/api/v1/analytics"
CONTROL, CONTROL_THEME, CONTROL_PAGE = "controlmarker4711", "controltheme4711", "/controlpage4711"
REFERRER = (
    f"https://{REFERRER_USER}:{REFERRER_PASSWORD}@mail.example:8443/inbox"
    f"?q={REFERRER_QUERY}#{REFERRER_FRAGMENT}"
)
REPORTS = (
    "realtime", "stats?period=day", "stats?period=week", "stats?period=month",
    "letters?period=day", "letters?period=month", "themes?limit=20", "heatmap", "ledger",
)  # fmt: skip


class Planter:
    """A client that sends canaries wherever it can, and keeps what it is answered."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.answers: list[str] = []
        self.statuses: dict[int, int] = defaultdict(int)

    async def send(self, method: str, target: str, **options: Any) -> aiohttp.ClientResponse:
        headers = {
            "User-Agent": USER_AGENT,
            "X-Forwarded-For": CLIENT_IPV4,
            "Referer": REFERRER,
            **options.pop("headers", {}),
        }
        answer = await self.session.request(
            method, target, headers=headers, allow_redirects=False, **options
        )
        kept = {k: v for k, v in answer.headers.items() if k.lower() != "set-cookie"}
        self.answers.append(f"{kept}\n{await answer.text(errors='replace')}")
        self.statuses[answer.status] += 1
        return answer

    async def event(self, *, status: int = 201, headers: Any = None, **fields: Any) -> None:
        body = {"event_type": "canary_event", **fields}
        answer = await self.send("POST", f"{API}/event", json=body, headers=headers or {})
        assert answer.status == status, (fields, self.answers[-1])


def spellings(canary: str) -> set[str]:
    """Return a canary as it may stand in a URL."""
    once = quote(canary, safe="")
    lower = re.sub("%..", lambda found: found[0].lower(), once)
    every = "".join(f"%{byte:02X}" for byte in canary.encode())
    return {canary.replace(" ", "%20"), once, lower, quote_plus(canary), quote(once), every}


async def plant(planter: Planter) -> str:
    """Put every canary into every place; return the session cookie that the visitor was given."""
    cookie = await plant_cookies(planter)
    for canary in SHAPES:
        await plant_in_data(planter, canary)
        for text in spellings(canary):
            await plant_in_urls(planter, text)
    for canary in IN_TEXTS:
        await plant_in_data(planter, canary)
    await plant_named(planter)
    await plant_unlisted(planter)
    await plant_in_headers(planter)
    await plant_in_errors(planter)
    await plant_in_feed(planter)
    return cookie


async def plant_cookies(planter: Planter) -> str:
    """Come as a browser and send the cookie back, where it belongs and where it does not."""
    answer = await planter.send("GET", "/cv", headers={"Sec-Fetch-Site": "none"})
    cookie = answer.cookies["maicivy_session"].value
    for address in (CLIENT_IPV4, CLIENT_IPV6, f"[{CLIENT_IPV6}]:4711", f"{CLIENT_IPV4}:4711"):
        headers = {"X-Forwarded-For": address, "Cookie": f"maicivy_session={cookie}"}
        await planter.send("GET", "/cv", headers=headers)
        await planter.event(headers=headers)
    await planter.event(event_data={"note": f"maicivy_session={cookie}", "seen": cookie})
    await planter.event(page_url=f"/cv?ref={cookie}", referrer=f"https://a.example/{cookie}")
    return cookie


async def plant_in_data(planter: Planter, canary: str) -> None:
    """Put a canary into values, sentences, lists and keys."""
    for data in (
        {"button": canary, "list": [canary, [canary, {"deep": [[canary]]}]]},
        {"note": f"Please write to {canary} today", "label": f"({canary})"},
        {canary: 1, f"seen {canary}": True, "deeper": {"still": {canary: {"x": canary}}}},
        {"name": "email", "value": canary, "href": f"https://a.example/?ref={quote(canary)}"},
        {"json": json.dumps({"contact": canary}), "encoded": quote(canary, safe="")},
        {"theme": canary, "letter_type": "motivation", "x": 1, "y": 2},
    ):
        await planter.event(event_data=data)
        await planter.event(event_type="cv_theme_change", event_data=data)
    await planter.event(
        event_type="letter_generate", event_data={"letter_type": "motivation", "for": canary}
    )


async def plant_in_urls(planter: Planter, text: str) -> None:
    """Put a canary, spelled for URLs, into every part of page URLs and referrers."""
    pages = (
        f"/cv/{text}/x",
        f"/cv?theme={text}",
        f"/cv?utm_source={text}&utm_{text}=1&ref=a;lang={text}",
        f"/cv?{text}",
        f"/cv;a={text}?lang=fr&x={text}",
        f"/cv#/{text}?ref={text}",
        f"/cv#{text}",
        f"https://{text}@hostcanary.example/cv?ref=https%3A%2F%2Fa.example%2F{text}",
    )
    for page in pages:
        if len(page) > 500:
            continue
        referrer = f"https://mail.example/{text}?{text}#{text}"[:500]
        await planter.event(event_type="page_view", page_url=page, referrer=referrer)
        await planter.send("GET", f"{API}/heatmap?page_url={quote(page, safe='')}")
        if page.startswith("/"):
            # Such a request is not written as a URL would be, but sent as it is.
            await planter.send("GET", raw(planter, page), headers={"Referer": referrer})
    for target in (f"/{text}", f"{API}/{text}", f"{API}/stats?period={text}", f"/static/{text}"):
        await planter.send("GET", raw(planter, target))
    for name in ("cursor", "limit", "offset", "session", "session_id", text):
        await planter.send("GET", raw(planter, f"{API}/timeline?{name}={text}"))


def raw(planter: Planter, target: str) -> Any:
    """Return a target as a URL that the client does not spell in its own way."""
    return URL(f"{str(planter.session._base_url).rstrip('/')}{target}", encoded=True)


async def plant_named(planter: Planter) -> None:
    """Put what is known by its name only under that name."""
    for name, canary in NAMED.items():
        key, value = quote(name, safe=""), quote(canary, safe="")
        await planter.event(
            event_data={
                name: canary,
                "list": [{name: [canary, {"x": canary}]}],
                "form": {"deep": {name.upper(): {"of": canary}}},
                "label": name,
                "value": canary,
                "text": f"{name}={canary.partition(' ')[0]}",
                "url": f"/x?{key}={value}",
            }
        )
        for page in (f"/cv?lang=fr&{key}={value}", f"/cv?{key}={value}#/a?{key}={value}"):
            await planter.event(page_url=page, referrer=f"https://a.example{page}")
            await planter.send("GET", raw(planter, page))
            await planter.send("GET", f"{API}/heatmap?page_url={quote(page, safe='')}")


async def plant_unlisted(planter: Planter) -> None:
    """Put what is no secret by its looks into parameters that nobody listed."""
    for query in (
        f"fbclid={UNLISTED}&theme=a",
        f"theme=a;fbclid={UNLISTED}",
        f"theme=a%26fbclid%3D{UNLISTED}",
        f"utm_a%26fbclid%3D{UNLISTED}=1",
        UNLISTED,
    ):
        for page in (f"/cv?{query}", f"/cv?theme=a#/b?{query}"):
            await planter.event(event_type="page_view", page_url=page)
            await planter.send("GET", raw(planter, page))


async def plant_in_headers(planter: Planter) -> None:
    for name, value in HEADERS.items():
        await planter.send("GET", "/cv?theme=a", headers={name: value})
        await planter.event(headers={name: value})
        await planter.send("GET", f"{API}/realtime", headers={name: value})
    for extra in ({"DNT": "1"}, {"User-Agent": f"Googlebot {USER_AGENT}"}):
        await planter.event(status=202, headers={**HEADERS, **extra})
    origin = {"Origin": "https://hostcanary7731.example", "Host": "localhost"}
    await planter.event(status=403, headers=origin)
    await planter.event(page_url=f"/cv?lang=fr#{FRAGMENT}", referrer=REFERRER)


async def plant_in_errors(planter: Planter) -> None:
    """Send what is refused: the refusal, and whatever is logged of it, may quote nothing."""
    text = " ".join([*SHAPES, *NAMED.values(), REFERRER_QUERY])
    for body in (
        text,
        f'{{"event_type": "{text}"}}',
        f'{{"event_type": "x", "event_data": "{text}"}}',
        f'{{"event_type": "x", "page_url": "javascript:{text}"}}',
        f'{{"event_type": "x", "session_duration": "{text}"}}',
        f'{{"event_type": "x", "event_id": "{text}"}}',
        f'{{"event_type": "letter_generate", "event_data": {{"letter_type": "{text}"}}}}',
        f'{{"event_type": "x", "{text}": {{"a": NaN}}}}',
        f'{{"event_type": "x", "event_data": {{"a": "\\u0000 {text}"}}}}',
        f'{{"event_type": "x", "event_data": {{"a": "\\ud800 {text}"}}}}',
        f'{{"event_type": "x", "{text}": {"[" * 60}{"]" * 60}}}',
        f'{{"event_type": "x", "pad": "{text * 20}"}}',
    ):
        answer = await planter.send("POST", f"{API}/event", data=body.encode())
        assert answer.status >= 400, body
    for header in ({"Content-Type": f"text/{FRAGMENT}"}, {"Content-Encoding": FRAGMENT}):
        await planter.send("POST", f"{API}/event", data=b"{}", headers=header)
    await planter.send("FRAGMENTCANARY", f"{API}/event")
    await planter.send("POST", f"{API}/event", headers={"Expect": FRAGMENT})
    url = planter.session._base_url
    assert url is not None
    for request in (
        f"GET /{FRAGMENT} HTTP/9.9\r\n\r\n",
        f"GET / HTTP/1.1\r\nbad {FRAGMENT}\r\n\r\n",
        f"{FRAGMENT} / HTTP/1.1\r\n\r\n",
        f"{text}\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(request.encode())
        # The sender alone reads what is wrong with what was no HTTP.
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 10)
        writer.close()


async def plant_in_feed(planter: Planter) -> None:
    """Say to the live feed what it does not understand."""
    headers = {**HEADERS, "Host": "localhost", "Sec-WebSocket-Protocol": FRAGMENT}
    for canary in (*SHAPES, *IN_TEXTS, FRAGMENT):
        async with planter.session.ws_connect(
            f"/ws/analytics?token={quote(canary, safe='')}", headers=headers
        ) as socket:
            await socket.send_str(canary)
            await socket.send_json({"type": canary, "email": canary})
            await socket.send_json({"type": "ping", canary: canary})
            await socket.send_bytes(canary.encode())
            heard = [await socket.receive(timeout=10) for _ in range(5)]
            planter.answers += [str(message.data) for message in heard]
            await socket.send_str(canary * 500)


async def plant_controls(planter: Planter) -> None:
    """Send what is to be kept, so that a search that finds nothing cannot be a blind one."""
    await planter.event(event_data={"control": CONTROL}, page_url=CONTROL_PAGE)
    await planter.event(event_type="page_view", page_url=CONTROL_PAGE)
    await planter.event(event_type="cv_theme_change", event_data={"theme": CONTROL_THEME})


async def read_answers(planter: Planter) -> None:
    for report in REPORTS:
        await planter.send("GET", f"{API}/{report}")
    await planter.send("GET", "/openapi.json")
    await planter.send("GET", "/health/deep")
    target: str | None = f"{API}/timeline?limit=100"
    while target:
        answer = await planter.send("GET", target)
        cursor = (await answer.json())["meta"]["next_cursor"]
        target = f"{API}/timeline?limit=100&cursor={cursor}" if cursor else None


@contextlib.asynccontextmanager
async def listening(url: str, redis_url: str) -> Any:
    """Hear what the live feed and Redis' channel say meanwhile."""
    heard: dict[str, list[str]] = {"feed": [], "channel": []}

    async def hear_feed(socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            heard["feed"].append(str(message.data))

    async def hear_channel(channel: Any) -> None:
        async for message in channel.listen():
            heard["channel"].append(str(message["data"]))

    async with (
        aiohttp.ClientSession(url) as session,
        session.ws_connect("/ws/analytics") as socket,
        redis.asyncio.Redis.from_url(redis_url, decode_responses=True) as client,
        client.pubsub() as channel,
    ):
        await channel.subscribe("analytics:realtime")
        tasks = [asyncio.create_task(hear_feed(socket)), asyncio.create_task(hear_channel(channel))]
        yield heard
        await until(lambda: all(CONTROL_THEME in "\n".join(said) for said in heard.values()))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def visit(server: Server, redis_url: str) -> tuple[dict[str, bytes], str]:
    """Plant everything; return what was answered and published, and the visitor's cookie."""
    url = f"http://127.0.0.1:{server.port}"
    places: dict[str, bytes] = {}
    async with (
        asyncio.timeout(240),
        listening(url, redis_url) as heard,
        aiohttp.ClientSession(url, cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        planter = Planter(session)
        cookie = await plant(planter)
        await plant_controls(planter)
        await read_answers(planter)
        metrics = await planter.send("GET", "/metrics")
        places["the metrics"] = (await metrics.text()).encode()
        places["the answers"] = "\n".join(planter.answers).encode()
        assert planter.statuses[201] > 500
        assert planter.statuses[200] > 200
    for name, said in heard.items():
        places[f"the {name}"] = "\n".join(said).encode()
    return places, cookie


def postgres_places(database_url: str, programs: Path, folder: Path) -> dict[str, bytes]:
    """Dump PostgreSQL, and back it up as the documentation says."""
    if not (programs / "pg_dump").exists():
        return {"PostgreSQL": asyncio.run(copy_of(database_url))}
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "DATABASE_URL": database_url,
    }

    def run(command: str) -> bytes:
        return subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, check=True, capture_output=True
        ).stdout

    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    [documented] = re.findall(r"^pg_dump .*$", operations, re.MULTILINE)
    run(documented)
    return {
        "PostgreSQL": run('pg_dump --inserts "$DATABASE_URL"'),
        "the backup": run("pg_restore --file=- maicivy.dump"),
    }


async def copy_of(database_url: str) -> bytes:
    connection = await asyncpg.connect(database_url)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    parts = []
    for table in tables:
        rows = await connection.fetch(f'SELECT t::text AS text FROM "{table["tablename"]}" AS t')
        parts += [row["text"] for row in rows]
    await connection.close()
    return "\n".join(parts).encode()


def redis_places(redis_url: str, data_dir: Path) -> dict[str, bytes]:
    """Read every key, and the file that Redis itself writes."""
    client: Any
    with redis.Redis.from_url(redis_url) as client:
        parts = [part for name in client.scan_iter() for part in (name, value_of(client, name))]
        client.config_set("rdbcompression", "no")
        client.save()
        file_name = client.config_get("dbfilename")["dbfilename"]
    [file] = data_dir.rglob(file_name)
    return {"Redis": b"\n".join(parts), "Redis' file": file.read_bytes()}


def value_of(client: Any, name: bytes) -> bytes:
    commands: dict[bytes, tuple[Any, ...]] = {
        b"string": ("GET", name),
        b"zset": ("ZRANGE", name, 0, -1, "WITHSCORES"),
        b"hash": ("HGETALL", name),
        b"set": ("SMEMBERS", name),
        b"list": ("LRANGE", name, 0, -1),
        b"stream": ("XRANGE", name, "-", "+"),
    }
    value = client.execute_command(*commands[client.type(name)])
    return value if isinstance(value, bytes) else str(value).encode()


def log_places(server: Server, data_dir: Path) -> dict[str, bytes]:
    places = {"the log": server.log.read_bytes()}
    for file in data_dir.rglob("logs/*"):
        places[f"the log {file.name}"] = file.read_bytes()
    return places


MODES = {
    "text": {"MAICIVY_LOG_FORMAT": "text"},
    # Every parameter is kept, so that redaction stands alone.
    "json": {"MAICIVY_LOG_FORMAT": "json", "MAICIVY_QUERY_PARAMETERS": "*"},
}


@dataclass
class Kept:
    """Everything that is left of the visits, by place, and the visitor's cookie."""

    mode: str
    places: dict[str, bytes]
    cookie: str


@pytest.fixture(scope="module", params=MODES)
def kept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("canaries")
    (folder / "site").mkdir()
    (folder / "site" / "cv.html").write_text("<title>CV</title>")
    data_dir = folder / "data"
    server = Server(
        data_dir,
        MAICIVY_SITE_DIR=str(folder / "site"),
        MAICIVY_TRUSTED_PROXIES="127.0.0.0/8",
        MAICIVY_EVENT_RATE_LIMIT="1000000",
        MAICIVY_LOG_LEVEL="debug",
        **MODES[request.param],
    )
    try:
        with embedded.attach_or_start(data_dir) as servers:
            database_url, redis_url = servers.database_url or "", servers.redis_url or ""
            places, cookie = asyncio.run(visit(server, redis_url))
            programs = find_postgres([], data_dir).binary.parent
            places |= postgres_places(database_url, programs, folder)
            places |= redis_places(redis_url, data_dir)
    finally:
        assert server.stop() == 0
    yield Kept(request.param, places | log_places(server, data_dir), cookie)
    shutil.rmtree(folder)


def test_what_is_to_be_kept_is_found(kept: Kept) -> None:
    """A search that finds nothing proves something only if it can find."""
    stored = {"PostgreSQL", "the backup"} & kept.places.keys()
    published = {"the feed", "the channel", "the answers"}
    ranked = {"Redis", "Redis' file", "the metrics"}
    expected = {f"{CONTROL} in {place}" for place in stored | published}
    expected |= {f"{CONTROL_THEME} in {place}" for place in stored | published | ranked}
    expected |= {f"{CONTROL_PAGE} in {place}" for place in stored | published | {"the metrics"}}
    assert set(find([CONTROL, CONTROL_THEME, CONTROL_PAGE], kept.places)) == expected
    # No line quotes a visitor, so what a log is known by is what it says of itself.
    logs = {name: text for name, text in kept.places.items() if name.startswith("the log")}
    assert b"WebSocket client connected" in logs["the log"]
    assert b"database system is ready" in logs["the log postgres.log"]
    assert b"Redis is starting" in logs["the log redis.log"]


def test_what_names_a_visitor_is_nowhere(kept: Kept) -> None:
    assert find([*ALWAYS, kept.cookie], kept.places) == []
    token = base64.urlsafe_b64decode(kept.cookie)[:16].hex().encode()
    assert [name for name, text in kept.places.items() if token in text.lower()] == []


def test_an_unlisted_parameter_is_nowhere_unless_all_are_listed(kept: Kept) -> None:
    found = find([UNLISTED], kept.places)
    assert (f"{UNLISTED} in PostgreSQL" in found) == (kept.mode == "json")
    assert kept.mode == "json" or found == []


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda raw: raw,
    "upper case": lambda raw: raw.upper(),
    "URL": lambda raw: quote(raw, safe="").encode(),
    "form": lambda raw: quote_plus(raw).encode(),
    "lower-case URL": lambda raw: quote(raw, safe="").lower().encode(),
    "base64": base64.b64encode,
    "base64 after one": lambda raw: base64.b64encode(b"x" + raw + b"yz"),
    "base64 after two": lambda raw: base64.b64encode(b"xy" + raw + b"z"),
    "URL-safe base64": lambda raw: base64.urlsafe_b64encode(b"?>" + raw),
    "hex": lambda raw: raw.hex().encode(),
    "upper-case hex": lambda raw: raw.hex().upper().encode(),
    "SHA-256": lambda raw: hashlib.sha256(raw).hexdigest().encode(),
    "SHA-256 in base64": lambda raw: base64.b64encode(hashlib.sha256(raw).digest()),
    "SHA-1": lambda raw: hashlib.sha1(raw).hexdigest().encode(),
    "MD5": lambda raw: hashlib.md5(raw).digest(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found(form: str) -> None:
    for canary in (*SHAPES, *IN_TEXTS, UNLISTED):
        content = b"before " + FORMS[form](canary.encode()) + b" after"
        assert find([canary], {"here": content}), canary
        assert find([canary], {"here": b"nothing"}) == []
