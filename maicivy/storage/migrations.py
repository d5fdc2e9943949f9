"""Forward-only migrations: numbered SQL files, applied once and in order, under a lock."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maicivy.errors import MigrationError
from maicivy.logs import fields
from maicivy.storage.queries import SQL_FOLDER

if TYPE_CHECKING:
    import uuid
    from pathlib import Path

    from maicivy.storage.postgres import Connection, Postgres

log = logging.getLogger(__name__)

_FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('maicivy.migrations'))"
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, name, text and the text's SHA-256."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Return the hash that tells whether a landed file was edited."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Installation:
    """Who this database is: the identity Redis' epoch names, and the secret of last resort."""

    database_id: uuid.UUID
    secret_key: str
    timezone: str


def load_migrations(folder: Path = SQL_FOLDER / "migrations") -> list[Migration]:
    """Return the migrations in order; raises `MigrationError` for a gap or a strange name."""
    migrations = []
    for position, file in enumerate(sorted(folder.glob("*.sql")), start=1):
        match = _FILE_NAME.fullmatch(file.name)
        if not match or int(match[1]) != position:
            raise MigrationError(f"{file.name} should be migration number {position:04d}.")
        migrations.append(Migration(position, file.stem, file.read_text(encoding="utf-8")))
    return migrations


async def migrate(postgres: Postgres, migrations: list[Migration] | None = None) -> list[str]:
    """Bring the schema up to date in one transaction; return the names of what was applied."""
    wanted = load_migrations() if migrations is None else migrations
    async with postgres.writing() as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SET LOCAL lock_timeout = '30s'")
        await connection.execute(_LOCK)
        await connection.execute(_TABLE)
        applied = await _applied(connection)
        _check_history(wanted, applied)
        fresh = [migration for migration in wanted if migration.version not in applied]
        for migration in fresh:
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                migration.version,
                migration.name,
                migration.checksum,
            )
            log.info("migration applied", extra=fields(name=migration.name))
    return [migration.name for migration in fresh]


async def _applied(connection: Connection) -> dict[int, str]:
    rows = await connection.fetch("SELECT version, checksum FROM schema_migrations")
    return {row["version"]: row["checksum"] for row in rows}


def _check_history(wanted: list[Migration], applied: dict[int, str]) -> None:
    by_version = {migration.version: migration for migration in wanted}
    for version, checksum in sorted(applied.items()):
        if version not in by_version:
            raise MigrationError(
                f"The database has migration {version:04d}, which this version of maicivy does "
                "not know; run a newer maicivy."
            )
        if by_version[version].checksum != checksum:
            raise MigrationError(
                f"{by_version[version].name}.sql was edited after it had been applied; "
                "put it back and write a new migration."
            )


async def installation(postgres: Postgres, timezone: str) -> Installation:
    """Return who this database is, deciding it at the first start."""
    await postgres.write("ensure_installation", secrets.token_urlsafe(48), timezone)
    [row] = await postgres.write("select_installation")
    return Installation(row["database_id"], row["secret_key"], row["timezone"])
