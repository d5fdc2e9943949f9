"""Migrations: applied once and in order, edited or unknown ones refused."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from typing import TYPE_CHECKING

import pytest

from maicivy.errors import MigrationError, OperatorError
from maicivy.metrics import Metrics
from maicivy.storage.migrations import Migration, installation, load_migrations, migrate
from maicivy.storage.postgres import Postgres
from maicivy.storage.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import Database, Urls


@pytest.fixture
async def postgres(urls: Urls) -> AsyncIterator[Postgres]:
    async with Postgres.connect(urls.database, Metrics(), 2) as opened:
        yield opened


async def test_nothing_is_applied_twice_and_two_at_once_agree(
    postgres: Postgres, database: Database
) -> None:
    more = [*load_migrations(), Migration(len(load_migrations()) + 1, "x", "CREATE TABLE x ()")]
    assert await migrate(postgres) == []
    assert sorted(await asyncio.gather(migrate(postgres, more), migrate(postgres, more))) == [
        [],
        ["x"],
    ]
    assert await database.fetchval("SELECT count(*) FROM schema_migrations") == len(more)


async def test_a_failing_migration_leaves_nothing_behind(
    postgres: Postgres, database: Database
) -> None:
    number = len(load_migrations()) + 1
    broken = [*load_migrations(), Migration(number, "x", "CREATE TABLE x (); SELECT 1/0")]
    with pytest.raises(Exception, match="division by zero"):
        await migrate(postgres, broken)
    assert await database.fetchval("SELECT to_regclass('x')") is None
    assert await migrate(postgres) == []


async def test_an_edited_migration_is_refused(postgres: Postgres) -> None:
    first, *rest = load_migrations()
    with pytest.raises(MigrationError, match=r"0001_schema\.sql was edited"):
        await migrate(postgres, [dataclasses.replace(first, sql=f"{first.sql} "), *rest])


async def test_a_newer_database_is_refused(postgres: Postgres, database: Database) -> None:
    await database.execute("INSERT INTO schema_migrations VALUES (999, 'x', 'y')")
    with pytest.raises(MigrationError, match="run a newer maicivy"):
        await migrate(postgres)


@pytest.mark.parametrize("names", [["0002_a.sql"], ["0001_a.sql", "0003_b.sql"], ["first.sql"]])
def test_numbers_without_gaps(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match="should be migration number"):
        load_migrations(tmp_path)


async def test_an_installation_knows_itself_again(postgres: Postgres) -> None:
    first = await installation(postgres, "UTC")
    second = await installation(postgres, "Europe/Paris")
    assert first == second
    assert isinstance(first.database_id, uuid.UUID)
    assert len(first.secret_key) >= 48


async def test_a_database_that_refuses_is_the_operators_to_mend(urls: Urls) -> None:
    wrong = urls.database.replace("/test_", "/nothing_")
    with pytest.raises(OperatorError, match="PostgreSQL refuses"):
        async with Postgres.connect(wrong, Metrics(), 1):
            pass


def test_every_statement_ends_where_the_next_begins() -> None:
    queries = load_queries()
    assert len(queries) > 30
    assert not any("-- name:" in statement for statement in queries.values())
