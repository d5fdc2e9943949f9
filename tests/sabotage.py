"""`make sabotage`: break the product one line at a time, and see which test turns red.

A test that stays green when the line that it guards is broken guards nothing. Each sabotage is
made in a copy of the tree; the run fails when one of them goes unnoticed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- sabotages -->\n", "<!-- /sabotages -->\n"
LEFT_BEHIND = (".git", ".venv", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis", "pg[0-9]*")
PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Sabotage:
    """What is broken: `old` becomes `new` in `file`; `tests` are expected to notice."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


SABOTAGES = (
    Sabotage(
        "answer before the commit",
        "maicivy/ingest/writer.py",
        "outcome = await future",
        "outcome: Outcome = True",
        ("tests/chaos/test_program.py", "-k", "random"),
    ),
    Sabotage(
        "count in Redis instead of telling it the total",
        "maicivy/storage/refresh.py",
        "redis.call('SET', told[i], told[i + 1], 'EX', told[i + 2])",
        "redis.call('INCR', told[i])",
        ("tests/integration/test_writer.py", "tests/integration/test_mirror.py"),
    ),
    Sabotage(
        "say no goodbye to live clients",
        "maicivy/app.py",
        "    app.on_shutdown.append(live.close_all)\n",
        "",
        ("tests/integration/test_live.py",),
    ),
    Sabotage(
        "never cut off a client that does not read",
        "maicivy/background/hub.py",
        "                client.abort()\n",
        "",
        ("tests/integration/test_live.py",),
    ),
    Sabotage(
        "do not look at the epoch",
        "maicivy/storage/realtime.py",
        " or replies[0][0] != self.epoch",
        "",
        ("tests/integration/test_mirror.py",),
    ),
    Sabotage(
        "redact nothing in texts",
        "maicivy/ingest/redact.py",
        '    """Return a text without the personal data and secrets in it."""\n',
        '    """Return a text without the personal data and secrets in it."""\n    return value\n',
        ("tests/integration/test_canaries.py",),
    ),
    Sabotage(
        "no rate limit",
        "maicivy/web/rate.py",
        "    if not allowance.allowed:\n",
        "    if allowance.reset_seconds < 0:\n",
        ("tests/integration/test_rate_limit.py",),
    ),
    Sabotage(
        "a queue without a bound",
        "maicivy/ingest/writer.py",
        "if len(self._queue) + count > self._queue_size:",
        "if len(self._queue) < 0:",
        ("tests/integration/test_writer.py",),
    ),
    Sabotage(
        "store an event_id again",
        "sql/queries/ingest.sql",
        "WHERE event_id IS NULL OR id IN (SELECT id FROM named)",
        "WHERE true",
        ("tests/integration/test_writer.py",),
    ),
    Sabotage(
        "commit the events of one request in pieces",
        "maicivy/ingest/writer.py",
        "(len(batch) < self._batch_size or not batch[-1].is_last)",
        "len(batch) < self._batch_size",
        ("tests/integration/test_events.py",),
    ),
    Sabotage(
        "forget what was in doubt",
        "maicivy/ingest/writer.py",
        "        stored = await self._committer.look_up([waiting.event for waiting in doubtful])\n",
        "        stored = await self._committer.look_up([])\n",
        ("tests/integration/test_writer.py",),
    ),
    Sabotage(
        "a ledger without the invalid",
        "maicivy/ingest/ledger.py",
        "        else:\n            self.drop(DropReason.INVALID)\n",
        "",
        ("tests/integration/test_ledger.py",),
    ),
    Sabotage(
        "do not notice a deleted sketch under load",
        "maicivy/storage/realtime.py",
        "            self.lost_keys = True\n            self.distrust()\n",
        "            pass\n",
        ("tests/chaos/test_redis.py", "-k", "sketch"),
    ),
    Sabotage(
        "leave half-sent requests unanswered at the end",
        "maicivy/app.py",
        "    app.on_shutdown.append(stop_waiting)\n",
        "",
        ("tests/chaos/test_program.py", "-k", "stopped"),
    ),
    Sabotage(
        "do not listen to other processes' changes",
        "maicivy/storage/pubsub.py",
        "            self._changes.note()\n",
        "            pass\n",
        ("tests/integration/test_answers.py",),
    ),
    Sabotage(
        "take a body for a request",
        "maicivy/web/connection.py",
        "self._is_between and is_first and self._is_one(data)",
        "True",
        ("tests/integration/test_express.py",),
    ),
    Sabotage(
        "drop partitions without a short lock timeout",
        "maicivy/storage/partitions.py",
        "LOCK_TIMEOUT_MILLISECONDS = 100",
        "LOCK_TIMEOUT_MILLISECONDS = 60_000",
        ("tests/integration/test_cleanup.py",),
    ),
    Sabotage(
        "fold no events before a report",
        "maicivy/storage/visits.py",
        'if not await self._postgres.fetch_value("has_unfolded"):',
        "if True:",
        ("tests/integration/test_visits.py", "-k", "just_stored"),
    ),
    Sabotage(
        "count a visitor anew on each day of a span",
        "sql/queries/breakdown.sql",
        "sum(visitors[least(day - $2::date + 1, 32)]) AS visitors",
        "sum(visitors[1]) AS visitors",
        ("tests/integration/test_visits.py", "-k", "report_says"),
    ),
    Sabotage(
        "forget events before they are folded",
        "maicivy/storage/visits.py",
        "for _ in range(BITES_BEFORE_REMOVAL):",
        "for _ in range(0):",
        ("tests/integration/test_me.py", "-k", "other_totals"),
    ),
    Sabotage(
        "count who is forgotten",
        "maicivy/storage/visits.py",
        'await self._postgres.run(connection, "uncount_visitor", visitor_id)',
        "pass",
        ("tests/integration/test_visits.py", "-k", "forgotten"),
    ),
    Sabotage(
        "compare today with the whole of yesterday",
        "maicivy/reports/summary.py",
        "is_today = span.first == span.last == today",
        "is_today = False",
        ("tests/integration/test_visits.py", "-k", "same_time"),
    ),
    Sabotage(
        "let the properties of events know no path",
        "sql/queries/properties.sql",
        "AND ($15::text IS NULL OR event_path(e.page_url) = $15)",
        "AND ($15::text IS NULL OR true)",
        ("tests/integration/test_visits.py", "-k", "report_says"),
    ),
)


def attempt(sabotage: Sabotage) -> str | None:
    """Return the test that noticed, None if nobody did."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "maicivy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
        file = copy / sabotage.file
        text = file.read_text()
        if text.count(sabotage.old) != 1:
            raise SystemExit(f"{sabotage.name}: its line stands {text.count(sabotage.old)} times")
        file.write_text(text.replace(sabotage.old, sabotage.new))
        options = ["-x", "-q", "-m", "chaos or not chaos", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *sabotage.tests],
            cwd=copy,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", done.stdout, re.MULTILINE)
    if done.returncode not in {0, 1}:
        raise SystemExit(f"{sabotage.name}: the tests cannot run: {done.stdout[-500:]}")
    return found[1] if done.returncode == 1 and found else None


def main() -> int:
    """Try every sabotage and write the table; 1 if one went unnoticed."""
    lines = ["| sabotage | where | the test that turned red |", "| --- | --- | --- |"]
    unnoticed = 0
    for sabotage in SABOTAGES:
        noticed = attempt(sabotage)
        unnoticed += noticed is None
        said = f"`{noticed}`" if noticed else "**none**"
        lines.append(f"| {sabotage.name} | `{sabotage.file}` | {said} |")
        print(lines[-1], flush=True)
    head, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(head + BEGIN + "\n".join(lines) + "\n" + END + rest.partition(END)[2])
    return int(unnoticed > 0)


if __name__ == "__main__":
    sys.exit(main())
