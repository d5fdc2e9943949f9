"""The judge: what has to be true after every fault, and the row of the table that says so.

I1  every event that was answered 201 is a row
I2  every row was answered 201 or its answer was lost, and each is there once
I3  within 5 s of quiet `run.py verify` exits 0, and REST, the ledger and SQL agree
I4  the program works again within 10 s, without help
I5  descriptors, memory, tasks and connections are back where they were
I7  every request was answered within its bound, during the fault too
(I6, that nothing leaks, is tests/integration/test_canaries.py.)
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.length import SLACK
from tests.chaos.load import Outcome
from tests.conftest import until

if TYPE_CHECKING:
    from tests.chaos.arena import Arena, Program
    from tests.chaos.load import Load

RESULTS = "MAICIVY_CHAOS_RESULTS"
POST_BOUND_SECONDS = 9.0
READ_BOUND_SECONDS = 6.0
RECOVERY_BOUND_SECONDS = 10.0
MONTH = "created_at >= date_trunc('month', now(), 'UTC')"


@dataclasses.dataclass(frozen=True)
class Baseline:
    """What a program at rest uses."""

    descriptors: int
    memory_bytes: int
    tasks: float
    connections: int


@dataclasses.dataclass
class Verdict:
    """One row of the table."""

    fault: str
    sent: int
    ok: int
    failed: int
    unknown: int
    rows: int
    lost: int
    doubled: int
    recovery_seconds: float
    slowest_post_ms: float
    note: str = ""


async def baseline(arena: Arena, program: Program | None = None) -> Baseline:
    """Return what the program uses now; call it at rest."""
    program = program or arena.program
    rows = await arena.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'maicivy'"
    )
    return Baseline(
        descriptors=program.descriptors(),
        memory_bytes=program.memory_bytes(),
        tasks=await arena.metric("maicivy_event_loop_tasks", program),
        connections=rows[0][0],
    )


async def judge(
    arena: Arena,
    load: Load,
    fault: str,
    *,
    recovery_seconds: float,
    before: Baseline | None = None,
    lives: int = 1,
    note: str = "",
) -> Verdict:
    """Hold everything above against what happened, note the row, and return it.

    `before` is None where the program is not the one that it was; `lives` says how many programs
    there were, of which only a single one's ledger tells everything.
    """
    verdict = await _rows(arena, load, fault, recovery_seconds, note)
    _note(verdict)
    assert verdict.lost == 0, f"answered 201 and not there: {verdict}"
    assert verdict.doubled == 0, f"there twice: {verdict}"
    assert verdict.ok > 0, f"nothing was stored at all: {load.codes}"
    await _agreement(arena)
    await _numbers(arena)
    await _ledger(arena, lives)
    assert recovery_seconds < RECOVERY_BOUND_SECONDS * SLACK
    assert load.slowest(1, load.answers) < POST_BOUND_SECONDS * SLACK, load.codes
    assert load.slowest(1, load.reads) < READ_BOUND_SECONDS * SLACK
    if before is not None:
        await _back_to(arena, before)
    return verdict


async def _rows(
    arena: Arena, load: Load, fault: str, recovery_seconds: float, note: str
) -> Verdict:
    found = await arena.sql(
        "SELECT (event_data ->> 'n')::integer AS n, count(*) AS times FROM analytics_events "
        "WHERE event_data ? 'n' GROUP BY 1"
    )
    times = {row["n"]: row["times"] for row in found}
    ok = {number for number, outcome in load.outcomes.items() if outcome is Outcome.OK}
    refused = {n for n, outcome in load.outcomes.items() if outcome is Outcome.FAILED}
    ghosts = sorted(refused & times.keys())
    assert not ghosts, f"refused, and there all the same: {ghosts[:5]} of {len(ghosts)}"
    return Verdict(
        fault=fault,
        sent=len(load.outcomes),
        ok=len(ok),
        failed=len(refused),
        unknown=load.count(Outcome.UNKNOWN),
        rows=len(times),
        lost=len(ok - times.keys()),
        doubled=sum(count > 1 for count in times.values()),
        recovery_seconds=round(recovery_seconds, 2),
        slowest_post_ms=round(load.slowest(1, load.answers) * 1000),
        note=note,
    )


def _note(verdict: Verdict) -> None:
    file = os.environ.get(RESULTS)
    if file:
        with Path(file).open("a") as stream:
            stream.write(json.dumps(dataclasses.asdict(verdict)) + "\n")


async def _agreement(arena: Arena) -> None:
    """Redis and PostgreSQL agree within 5 s of quiet."""
    with contextlib.suppress(AssertionError):
        await until(_is_trusted(arena), 5)
    for _ in range(SLACK):
        result = await asyncio.to_thread(arena.program.run, "verify")
        if result.returncode == 0:
            break
    assert result.returncode == 0, result.stdout + result.stderr


def _is_trusted(arena: Arena):  # type: ignore[no-untyped-def]  # noqa: ANN202
    async def condition() -> bool:
        return await arena.metric("maicivy_redis_up") == 1

    return condition


async def _numbers(arena: Arena) -> None:
    """What REST answers is what SQL counts; unique visitors within 2.5 %."""
    [row] = await arena.sql(
        "SELECT count(*) AS events, count(*) FILTER (WHERE event_type = 'letter_generate') AS "
        f"letters, count(DISTINCT visitor_id) AS visitors FROM analytics_events WHERE {MONTH}"
    )
    for program in arena.programs:
        stats = await arena.get("stats?period=month", program)
        assert (stats["total_events"], stats["letters_generated"]) == (
            row["events"],
            row["letters"],
        )
        letters = await arena.get("letters?period=month", program)
        assert (
            letters["total"] == row["letters"] == letters["motivation"] + letters["anti_motivation"]
        )
        error = abs(stats["unique_visitors"] - row["visitors"])
        assert error <= max(2, 0.025 * row["visitors"]), (stats, row)
        themes = await arena.sql(
            "SELECT event_data ->> 'theme' AS theme, count(*) AS views FROM analytics_events "
            "WHERE event_type = 'cv_theme_change' GROUP BY 1"
        )
        ranking = await arena.get("themes?limit=20", program)
        assert {one["theme"]: one["views"] for one in ranking} == {
            one["theme"]: one["views"] for one in themes
        }


async def _ledger(arena: Arena, lives: int) -> None:
    """Everything that came in has its outcome; a single program's `stored` is the rows."""

    async def settled() -> bool:
        ledgers = [await arena.get("ledger", program) for program in arena.programs]
        return all(ledger["pending"] == 0 for ledger in ledgers)

    await until(settled, 5)
    ledgers = [await arena.get("ledger", program) for program in arena.programs]
    if lives == len(arena.programs):
        [row] = await arena.sql("SELECT count(*) FROM analytics_events")
        assert sum(ledger["stored"] for ledger in ledgers) == row[0], ledgers


async def _back_to(arena: Arena, before: Baseline) -> None:
    async def settled() -> bool:
        now = await baseline(arena)
        return (
            now.descriptors <= before.descriptors + 12
            and now.tasks <= before.tasks + 6
            and now.connections <= max(before.connections + 4, 12)
            and now.memory_bytes <= before.memory_bytes + 40 * 1024 * 1024
        )

    try:
        await until(settled, 15)
    except AssertionError:
        raise AssertionError(f"{before} became {await baseline(arena)}") from None
