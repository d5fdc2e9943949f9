"""The table as the document creates it beside the table that there is; what retention removes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from maicivy.config import Config
from maicivy.periods import ONE_DAY, next_run_at
from maicivy.web import keys
from tests.conftest import get_data, send_event, until
from tests.contract.conftest import INSTANT
from tests.contract.deviations import Subject
from tests.contract.document import SEED
from tests.contract.shapes import Difference, table_differences

if TYPE_CHECKING:
    from tests.conftest import Client, Database, FakeClock

CHAPTER = SEED.section("Table: analytics_events")
TABLE = CHAPTER.title.partition(": ")[2]
SQL = CHAPTER.text("sql")
RETENTION = SEED.section("Rétention")
COMPONENTS = SEED.section("Composants Principaux")
DIAGRAM = SEED.section("Diagramme de Flow de Données").text()
SLOW = SEED.section("PostgreSQL slow queries")
LATE = SEED.section("Cleanup job ne s'exécute pas")
EXPLAIN, VACUUM = (SLOW.match(pattern)[1] for pattern in (r"`(EXPLAIN .+)`", r"`(VACUUM .+)`"))
PARTITIONED_WHEN = SLOW.match(r"^Partitioning \((.+)\)")[1]
DAYS_KEPT = {
    RETENTION.number(r"conservés \*\*(\d+) jours\*\*"),
    COMPONENTS.number(r"Suppression événements > (\d+) jours"),
    SEED.section("RGPD Compliance").number(r"\*\*Rétention\*\* : (\d+) jours max"),
}
HOURS_DUE = {
    RETENTION.number(r"Cleanup automatique via job quotidien à (\d+)h du matin"),
    COMPONENTS.number(r"Exécution quotidienne à (\d+)h du matin"),
    LATE.number(r"Vérifier timezone serveur \(job à (\d+)h locale\)"),
    *map(int, re.findall(r"\((\d+)AM daily\)", DIAGRAM)),
}

COLUMNS, CONSTRAINTS = Subject("PostgreSQL columns"), Subject("PostgreSQL constraints")
INDEXES, PARTITIONS = Subject("PostgreSQL indexes"), Subject("PostgreSQL partitions")

SELECT_COLUMNS = """
    SELECT attname, concat_ws(' ', format_type(atttypid, atttypmod),
        CASE WHEN attnotnull THEN 'NOT NULL' END,
        'DEFAULT ' || pg_get_expr(adbin, adrelid)) AS definition
    FROM pg_attribute
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum
"""
SELECT_CONSTRAINTS = """
    SELECT split_part(pg_get_constraintdef(oid), ' ', 1), pg_get_constraintdef(oid)
    FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype IN ('p', 'f')
"""
SELECT_INDEXES = """
    SELECT relname, split_part(pg_get_indexdef(indexrelid), ' USING ', 2)
    FROM pg_index JOIN pg_class ON oid = indexrelid
    WHERE indrelid = $1::text::regclass AND NOT indisprimary
"""


async def tables(database: Database, query: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return what the query finds for the document's own table, and for the one that is used."""
    found = []
    for schema in ("seed", "public"):
        await database.execute(f"SET search_path = {schema}")
        found.append({name: text for name, text in await database.fetch(query, TABLE)})  # noqa: C416
    return found[0], found[1]


@pytest.fixture
async def documented(database: Database) -> Database:
    """The database, with the document's statements run as they are in a schema beside."""
    await database.execute("CREATE SCHEMA seed")
    await database.execute("SET search_path = seed")
    await database.execute("CREATE TABLE visitors (id uuid PRIMARY KEY)")
    await database.execute(SQL)
    return database


async def test_columns(documented: Database) -> None:
    says, true = await tables(documented, SELECT_COLUMNS)
    assert len(says) == 10
    assert list(says) == list(true)
    COLUMNS.check(table_differences(says, true))


async def test_constraints(documented: Database) -> None:
    says, true = await tables(documented, SELECT_CONSTRAINTS)
    assert list(says) == ["PRIMARY", "FOREIGN"]
    CONSTRAINTS.check(table_differences(says, true))


async def test_indexes(documented: Database) -> None:
    says, true = await tables(documented, SELECT_INDEXES)
    assert len(says) == SQL.count("CREATE INDEX") == 4
    INDEXES.check(table_differences(says, true))


async def test_every_documented_index_has_one_that_serves_as_well(documented: Database) -> None:
    """But for those that begin with the type, by which nothing is searched for."""
    says, true = await tables(documented, SELECT_INDEXES)
    _, constraints = await tables(documented, SELECT_CONSTRAINTS)

    def columns(definition: str) -> list[str]:
        listed = definition[definition.index("(") + 1 : definition.index(")")]
        return [column.split()[0] for column in listed.split(", ")]

    served_by = [columns(text) for text in (*true.values(), constraints["PRIMARY"])]
    for name, definition in says.items():
        wanted = columns(definition)
        served = any(wanted == served[: len(wanted)] for served in served_by)
        assert served is (wanted[0] != "event_type"), name


async def test_the_statements_of_the_advice_run(seed_client: Client, database: Database) -> None:
    await send_event(seed_client)
    plan = await database.fetch(EXPLAIN)
    assert "Execution Time" in plan[-1][0]
    await database.execute(VACUUM)
    partitioned = await database.fetchval(
        "SELECT relkind = 'p' FROM pg_class WHERE oid = $1::text::regclass", TABLE
    )
    PARTITIONS.check(
        [Difference("Partitioning", PARTITIONED_WHEN, "always")] if partitioned else []
    )


async def clean_up(client: Client) -> None:
    """Run the cleanup; wait while the scheduler's own run is under way."""

    async def ran() -> bool:
        return await client.app[keys.CLEANUP].run_once() is not None

    await until(ran)


async def count(database: Database, table: str) -> Any:
    return await database.fetchval(f"SELECT count(*) FROM {table}")


@RETENTION.holds(r"Soft delete \(deleted_at\) non utilisé")
async def test_retention(seed_client: Client, clock: FakeClock, database: Database) -> None:
    [days] = DAYS_KEPT
    assert Config().retention_days == days
    await send_event(seed_client)
    clock.advance(days=days, minutes=-1)
    await clean_up(seed_client)
    assert await count(database, "events") == 1
    await send_event(seed_client, headers={"User-Agent": "curl/8.14.1"})
    clock.advance(minutes=2)
    await clean_up(seed_client)
    [kept] = await database.fetch("SELECT * FROM events")
    assert kept["created_at"] > INSTANT
    assert kept["deleted_at"] is None
    assert len(await get_data(seed_client, "timeline")) == 1


async def test_a_visitor_goes_with_the_last_event(
    seed_client: Client, clock: FakeClock, database: Database
) -> None:
    await send_event(seed_client)
    clock.advance(days=max(DAYS_KEPT), minutes=1)
    await clean_up(seed_client)
    assert await count(database, "visitors") == 0


def test_cleanup_is_due_every_night_at_the_servers_own_hour() -> None:
    [hour] = HOURS_DUE
    zone = ZoneInfo("Europe/Paris")
    first = next_run_at(INSTANT, zone)
    assert first.astimezone(zone).hour == hour
    assert next_run_at(first, zone) - first == ONE_DAY


@LATE.holds(r"Tester manuellement : appeler `cleanupJob\.RunOnce\(ctx\)`")
async def test_a_cleanup_can_be_asked_for(seed_client: Client, database: Database) -> None:
    before = await count(database, "cleanup_runs")
    await clean_up(seed_client)
    assert await count(database, "cleanup_runs") > before
