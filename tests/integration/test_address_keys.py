"""Keys of addresses: gone means gone from every file, and a crash takes none that is in use."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import asyncpg
import pytest

from maicivy import embedded
from maicivy.embedded import process
from maicivy.embedded.programs import find_postgres
from maicivy.errors import StorageUnavailable
from maicivy.metrics import Metrics
from maicivy.storage.addresses import AddressKeys
from maicivy.storage.migrations import migrate
from maicivy.storage.postgres import Postgres
from tests.conftest import Database, FakeClock, Urls, on_database, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

NOON = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.EmbeddedServers]:
    """A PostgreSQL of these tests' own: its files are read, and it is killed."""
    with embedded.start(tmp_path_factory.mktemp("keys"), redis=False) as started:
        yield started


@pytest.fixture
async def own_url(server: embedded.EmbeddedServers) -> str:
    """A database on that server with nothing but the schema."""
    url = server.database_url or ""
    admin = await asyncpg.connect(url)
    name = f"keys_{await admin.fetchval('SELECT count(*) FROM pg_database')}"
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    async with Postgres.connect(on_database(url, name), Metrics(), 1) as postgres:
        await migrate(postgres)
    return on_database(url, name)


@pytest.fixture
async def postgres(own_url: str) -> AsyncIterator[Postgres]:
    async with Postgres.connect(own_url, Metrics(), 2) as opened:
        yield opened


@pytest.fixture
async def own_database(own_url: str) -> AsyncIterator[Database]:
    connection = await asyncpg.connect(own_url)
    yield connection
    await connection.close()


async def write_out(database: Database) -> None:
    """Have every page written, also those that are not logged."""
    await database.execute("CREATE DATABASE flush TEMPLATE template0 STRATEGY file_copy")
    await database.execute("DROP DATABASE flush")
    await database.execute("CHECKPOINT")


def found_in(server: embedded.EmbeddedServers, secret: bytes) -> set[str]:
    """Return the folders of PostgreSQL's data with a file that holds the secret."""
    [postmaster] = server._servers
    folder = postmaster.home
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any("pg_wal" in path.parts for path in files)
    return {path.relative_to(folder).parts[0] for path in files if secret in path.read_bytes()}


async def test_a_key_of_a_day_that_is_over_is_in_no_file(
    server: embedded.EmbeddedServers, postgres: Postgres, own_database: Database, clock: FakeClock
) -> None:
    clock.freeze(NOON)
    addresses = AddressKeys(postgres)
    await addresses.rotate(clock().date())
    secret = addresses.get(clock().date()) or b""
    assert len(secret) == 32
    await own_database.execute("ANALYZE")  # would copy samples into a logged table
    await own_database.execute("CREATE TABLE logged AS SELECT '\\xc0ffee5ec1e7'::bytea AS key")
    await write_out(own_database)
    assert found_in(server, secret) == {"base"}
    assert found_in(server, bytes.fromhex("c0ffee5ec1e7")) == {"base", "pg_wal"}
    clock.advance(days=1)
    await addresses.rotate(clock().date())
    clock.advance(days=1)
    await addresses.rotate(clock().date())
    kept = addresses.get(clock().date()) or b""
    await write_out(own_database)
    assert found_in(server, secret) == set()
    assert found_in(server, kept) == {"base"}


async def test_what_was_deleted_and_not_rewritten_is_rewritten_by_the_next_program(
    server: embedded.EmbeddedServers,
    postgres: Postgres,
    own_database: Database,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock.freeze(NOON)
    addresses = AddressKeys(postgres)
    await addresses.rotate(clock().date())
    secret = addresses.get(clock().date()) or b""
    clock.advance(days=1)
    async with own_database.transaction():
        await own_database.execute("LOCK TABLE address_keys IN ACCESS SHARE MODE")  # as pg_dump
        await addresses.rotate(clock().date())
        assert "deleted address keys are still in a file" in caplog.text
        assert await own_database.fetchval("SELECT min(day) FROM address_keys") == clock().date()
    await write_out(own_database)
    assert found_in(server, secret) == {"base"}
    await AddressKeys(postgres).rotate(clock().date())
    await write_out(own_database)
    assert found_in(server, secret) == set()


async def test_the_file_is_rewritten_only_when_a_key_was_deleted(
    postgres: Postgres, own_database: Database, clock: FakeClock
) -> None:
    clock.freeze(NOON)
    addresses, file = AddressKeys(postgres), "SELECT pg_relation_filepath('address_keys')"
    await addresses.rotate(clock().date())
    before = await own_database.fetchval(file)
    await addresses.rotate(clock().date())
    assert await own_database.fetchval(file) == before
    clock.advance(days=1)
    await addresses.rotate(clock().date())
    assert await own_database.fetchval(file) != before


async def test_the_documented_backup_has_no_key(
    postgres: Postgres, own_url: str, clock: FakeClock, tmp_path: Path
) -> None:
    program = find_postgres([], tmp_path).binary.with_name("pg_dump")
    if not program.exists():
        pytest.skip(f"there is no {program}")
    addresses = AddressKeys(postgres)
    await addresses.rotate(clock().date())
    secret = (addresses.get(clock().date()) or b"").hex()

    async def dump(*options: str) -> str:
        dumping = await asyncio.create_subprocess_exec(
            program, "--format=plain", *options, own_url, stdout=subprocess.PIPE
        )
        output, _ = await dumping.communicate()
        assert dumping.returncode == 0
        return output.decode()

    assert secret in await dump()
    kept = await dump("--exclude-table-data=address_keys")
    assert "CREATE UNLOGGED TABLE public.address_keys" in kept
    assert secret not in kept


async def test_a_crash_of_postgresql_takes_no_key_that_is_in_use(
    server: embedded.EmbeddedServers, postgres: Postgres, own_url: str, clock: FakeClock
) -> None:
    first, second = AddressKeys(postgres), AddressKeys(postgres)
    today = clock().date()
    for addresses in (first, second):
        await addresses.rotate(today)
    key = first.get(today)
    assert key == second.get(today)
    [postmaster] = server._servers
    before = postmaster.pid or 0
    os.kill(before, signal.SIGKILL)
    await until(lambda: server.revive() == ["postgres"], 30)
    assert process.wait_until(postmaster.is_ready, 30)
    database = await asyncpg.connect(own_url)
    assert await database.fetchval("SELECT count(*) FROM address_keys") == 0

    async def rotated() -> bool:
        try:
            await first.rotate(today)
        except StorageUnavailable:  # a connection of before the crash
            return False
        return True

    await until(rotated)
    await second.rotate(today)
    kept = await database.fetchval("SELECT key FROM address_keys WHERE day = $1", today)
    assert kept == key == first.get(today) == second.get(today)
    await database.close()


async def test_whoever_comes_first_after_a_crash_decides_for_all(
    urls: Urls, database: Database, clock: FakeClock
) -> None:
    today = clock().date()
    async with Postgres.connect(urls.database, Metrics(), 1) as postgres:
        old = AddressKeys(postgres)
        await old.rotate(today)
        await database.execute("TRUNCATE address_keys")
        fresh = AddressKeys(postgres)
        await fresh.load(today)
        await old.rotate(today)
        await fresh.rotate(today)
        assert old.get(today) == fresh.get(today)
        assert old.get(today + dt.timedelta(days=1)) == fresh.get(today + dt.timedelta(days=1))
