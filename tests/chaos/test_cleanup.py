"""The nightly cleanup is killed, and runs beside a long reader."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import TYPE_CHECKING

from tests.chaos.length import SLACK, short_or_full
from tests.chaos.load import Load
from tests.chaos.oracle import baseline, judge
from tests.conftest import until

if TYPE_CHECKING:
    from tests.chaos.arena import Arena

ROWS = short_or_full(20_000, 1_000_000)

# The expired half of the boundary day, and a whole expired day before it.
OLD_EVENTS = """
WITH partition AS (SELECT now() - interval '90 days' AS boundary)
INSERT INTO analytics_events (id, visitor_id, event_type, created_at)
SELECT gen_random_uuid(), $1, 'old', greatest(
    date_trunc('day', boundary, 'UTC'), boundary - interval '1 s' - n * interval '1 ms'
)
FROM partition, generate_series(1, $2::integer) AS n
"""

HELD = """
SELECT 1 FROM {partition}
WHERE id = (
    SELECT id FROM {partition} WHERE event_type = 'old' ORDER BY created_at OFFSET $1 LIMIT 1
) FOR UPDATE
"""


async def _fill(arena: Arena) -> str:
    """Put expired rows into the partition that the retention ends in; return its name."""
    [row] = await arena.sql("SELECT date_trunc('day', now() - interval '90 days', 'UTC')")
    start: dt.datetime = row[0]
    partition = f"analytics_events_p{start:%Y%m%d}"
    async with arena.session_of() as session:
        await session.execute(
            f"CREATE TABLE {partition} PARTITION OF analytics_events "
            f"FOR VALUES FROM ('{start}') TO ('{start + dt.timedelta(days=1)}')"
        )
        visitor = await session.fetchval("SELECT id FROM visitors LIMIT 1")
        await session.execute(OLD_EVENTS, visitor, ROWS, timeout=300)
    return partition


async def _old(arena: Arena) -> int:
    [row] = await arena.sql("SELECT count(*) FROM analytics_events WHERE event_type = 'old'")
    return int(row[0])


async def test_killed_midway(arena: Arena) -> None:
    partition = await _fill(arena)
    assert await _old(arena) == ROWS
    load, before = Load([arena.program.url]), await baseline(arena)
    async with load.running():

        async def midway() -> bool:
            return await _old(arena) < ROWS

        async with arena.session_of() as session, session.transaction():
            # the cleanup comes so far and waits, however fast it is
            await session.execute(HELD.format(partition=partition), ROWS // 2, timeout=60)
            command = await asyncio.create_subprocess_exec(
                *arena.program.command("cleanup"), env=arena.program.environment
            )
            await until(midway, 60)
            command.kill()
            await command.wait()
        await asyncio.sleep(1)  # for the statement that it left behind
        left = await _old(arena)
        assert 0 < left < ROWS
        began = time.monotonic()
        again = await asyncio.to_thread(arena.program.run, "cleanup")
        seconds = time.monotonic() - began
        assert again.returncode == 0, again.stderr
        assert await _old(arena) == 0
        recovery = await arena.recovered()
    runs = await arena.sql(
        "SELECT status, error, events_deleted FROM cleanup_runs ORDER BY id DESC"
    )
    assert [tuple(run) for run in runs[:2]] == [
        ("done", None, left),
        ("failed", "interrupted", 0),
    ]
    name = f"cleanup of {ROWS} expired rows kill -9 midway"
    note = f"the rest, {left} rows, in {seconds:.1f} s under load"
    await judge(arena, load, name, recovery_seconds=recovery, before=before, note=note)
    assert load.slowest(0.99, load.answers) < 0.5 * SLACK


async def test_beside_a_long_reader(arena: Arena) -> None:
    """A partition is to be dropped that somebody reads for three seconds: inserts do not wait."""
    await _fill(arena)
    await arena.sql("UPDATE visitors SET last_visit = now()")
    [row] = await arena.sql("SELECT current_date - 100 AS day")
    day = row["day"]
    await arena.sql(
        f"CREATE TABLE analytics_events_p{day:%Y%m%d} PARTITION OF analytics_events "
        f"FOR VALUES FROM ('{day}T00:00:00Z') TO ('{day}T23:59:59.999999Z')"
    )
    load, before = Load([arena.program.url]), await baseline(arena)
    async with load.running():
        await asyncio.sleep(1)
        began = time.monotonic()
        async with arena.session_of() as session, session.transaction():
            await session.fetchval("SELECT count(*) FROM analytics_events")
            cleaning = asyncio.create_task(asyncio.to_thread(arena.program.run, "cleanup"))
            await asyncio.sleep(4)
            assert not cleaning.done()
        result = await cleaning
        assert result.returncode == 0, result.stderr
        recovery = await arena.recovered()
    assert "Removed 1 partitions" in result.stdout
    name = "cleanup beside a reader of 4 s"
    await judge(arena, load, name, recovery_seconds=recovery, before=before)
    assert {answer.status for answer in load.answers} == {201}, load.codes
    assert load.slowest(0.99, load.answers, began) < 0.5 * SLACK
