"""Real servers for every test: started once, a database cloned from a template for each."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import pytest
import redis.asyncio
from aiohttp.test_utils import TestClient, TestServer

from maicivy import embedded
from maicivy.app import create_app
from maicivy.config import Config
from maicivy.metrics import Metrics
from maicivy.periods import utc_now
from maicivy.storage import realtime, wire
from maicivy.storage import redis_client as redis_library
from maicivy.storage.migrations import migrate
from maicivy.storage.postgres import Postgres
from maicivy.web import keys
from maicivy.web.connection import Runner
from maicivy.web.express import Express

if TYPE_CHECKING:
    from pytest_aiohttp import AiohttpClient

    from maicivy.storage.realtime import Realtime
    from maicivy.storage.stores import Stores
    from maicivy.web.door import Bounds

API = "/api/v1/analytics"
BROWSER = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36"
)
TEMPLATE = "template_maicivy"
MEMORY_DISK = Path("/dev/shm")
ENOUGH_BYTES = 4 * 1024**3

Database: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Client: TypeAlias = TestClient[Any, Any]
ClientFactory: TypeAlias = Callable[..., Awaitable[Client]]


class FakeClock:
    """A clock that stands where it is set, or runs from there with the real one."""

    def __init__(self) -> None:
        self.offset = dt.timedelta()
        self.frozen: dt.datetime | None = None

    def __call__(self) -> dt.datetime:
        return self.frozen if self.frozen is not None else utc_now() + self.offset

    def freeze(self, instant: dt.datetime) -> None:
        self.frozen = instant

    def advance(self, **units: float) -> None:
        if self.frozen is not None:
            self.frozen += dt.timedelta(**units)
        else:
            self.offset += dt.timedelta(**units)


class DoorServer(TestServer):
    """A test's server, behind the program's own door."""

    async def _make_runner(self, **settings: Any) -> Runner:
        return Runner(self.app, self.app[keys.DOOR], Express, **settings)


@dataclass(frozen=True)
class Urls:
    """Where a test's database and Redis are."""

    database: str
    redis: str


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.EmbeddedServers]:
    with contextlib.ExitStack() as stack:
        folder = tmp_path_factory.mktemp("servers")
        if MEMORY_DISK.is_dir() and shutil.disk_usage(MEMORY_DISK).free > ENOUGH_BYTES:
            # a disk on which nothing is waited for; that commits are durable is tested elsewhere
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY_DISK)))
        started = stack.enter_context(embedded.start(folder / "data"))
        asyncio.run(_make_template(started.database_url or ""))
        yield started


async def _make_template(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"CREATE DATABASE {TEMPLATE}")
    await connection.close()
    async with Postgres.connect(on_database(database_url, TEMPLATE), Metrics(), 1) as postgres:
        await migrate(postgres)


def on_database(url: str, name: str) -> str:
    """Return `url` with another database."""
    head, _, query = url.partition("?")
    return f"{head.rpartition('/')[0]}/{name}?{query}"


_numbers = itertools.count(1)


@pytest.fixture
async def urls(servers: embedded.EmbeddedServers) -> AsyncIterator[Urls]:
    """A database and a Redis of the test's own, empty but for the schema."""
    admin_url, redis_url = servers.database_url or "", servers.redis_url or ""
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(admin_url)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await client.flushall()
    yield Urls(on_database(admin_url, name), redis_url)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait longer for Redis than the program does: a busy machine is no outage."""
    monkeypatch.setattr(redis_library, "HOT_TIMEOUT_SECONDS", 5.0)
    monkeypatch.setattr(realtime, "HOT_DEADLINE_SECONDS", 5.0)
    for name in ("CONNECT_SECONDS", "ANSWER_SECONDS"):
        monkeypatch.setattr(wire, name, 5.0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def config_factory(tmp_path: Path) -> Callable[..., Config]:
    def make(**overrides: Any) -> Config:
        settings: dict[str, Any] = {"data_dir": tmp_path / "data", "event_rate_limit": 0}
        return Config(**(settings | overrides))

    return make


@pytest.fixture
async def make_client(
    urls: Urls,  # first, so that the database is dropped after the application has closed
    aiohttp_client: AiohttpClient,
    clock: FakeClock,
    config_factory: Callable[..., Config],
) -> ClientFactory:
    """Start the application with settings of the test's own; wait until Redis is relied on."""

    async def make(
        *,
        database: str | None = None,
        redis: str | None = None,
        trusted: bool = True,
        bounds: Bounds | None = None,
        **overrides: Any,
    ) -> Client:
        app = create_app(
            config_factory(**overrides),
            database_url=database or urls.database,
            redis_url=redis or urls.redis,
            clock=clock,
            bounds=bounds,
        )
        client: Client = await aiohttp_client(DoorServer(app), headers={"User-Agent": BROWSER})
        if trusted:
            await until(lambda: app[keys.REALTIME].trusted)
        return client

    return make


@pytest.fixture
async def client(make_client: ClientFactory) -> Client:
    """The application with its defaults, the rate limit off."""
    return await make_client()


@pytest.fixture
async def database(urls: Urls) -> AsyncIterator[Database]:
    """A connection to the test's database."""
    connection = await asyncpg.connect(urls.database)
    yield connection
    await connection.close()


@pytest.fixture
async def redis_client(urls: Urls) -> AsyncIterator[redis.asyncio.Redis]:
    """A connection to the test's Redis."""
    async with redis.asyncio.Redis.from_url(urls.redis, decode_responses=True) as client:
        yield client


def stores_of(client: Client) -> Stores:
    stores: Stores = client.app[keys.STORES]
    return stores


def realtime_of(client: Client) -> Realtime:
    realtime: Realtime = client.app[keys.REALTIME]
    return realtime


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until `condition()`, which may be a coroutine, is true; fail after `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return
        assert asyncio.get_running_loop().time() < deadline, "the condition did not come true"
        await asyncio.sleep(0.02)


async def send_event(client: Client, event_type: str = "button_click", **fields: Any) -> None:
    """Post one event and see it stored."""
    headers = fields.pop("headers", None)
    body = {"event_type": event_type, **fields}
    response = await client.post(f"{API}/event", json=body, headers=headers)
    assert response.status == 201, await response.text()


async def get_data(client: Client, path: str) -> Any:
    """Ask one question and return its data."""
    response = await client.get(f"{API}/{path}")
    assert response.status == 200, await response.text()
    return (await response.json())["data"]


async def first_cleanup(database: Database) -> None:
    """Wait until the cleanup of the start has ended."""
    done = "SELECT count(*) FROM cleanup_runs WHERE status = 'done'"

    async def is_done() -> bool:
        return bool(await database.fetchval(done))

    await until(is_done)
