"""`make chaos`: every fault at full length, and the table in docs/reliability.md.

`make chaos CHAOS=short` runs each fault once, briefly, and leaves the document alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.chaos.oracle import RESULTS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults -->\n", "<!-- /faults -->\n"
COLUMNS = {
    "fault": "fault",
    "sent": "sent",
    "ok": "ok",
    "failed": "failed",
    "unknown": "unknown",
    "rows": "rows",
    "lost": "lost",
    "doubled": "doubled",
    "recovery_seconds": "recovery s",
    "slowest_post_ms": "slowest POST ms",
}
WORST = {"recovery_seconds", "slowest_post_ms"}


def main(length: str = "full") -> int:
    """Run the faults; return pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        results.touch()
        environment = os.environ | {"MAICIVY_CHAOS": length, RESULTS: str(results)}
        command = [sys.executable, "-m", "pytest", "-m", "chaos", "tests/chaos", "-q"]
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        rows = [json.loads(line) for line in results.read_text().splitlines()]
    table = make_table(rows)
    print(table)
    if length == "full":
        write(table)
    return code


def make_table(rows: list[dict[str, Any]]) -> str:
    """Return the results as a table of Markdown, with their sums and their worst."""
    every: dict[str, Any] = {"fault": "**all of them**"}
    for name in COLUMNS:
        if name != "fault":
            combine = max if name in WORST else sum
            every[name] = combine([row[name] for row in rows] or [0])
    lines = ["| " + " | ".join(COLUMNS.values()) + " |", "| --- |" + " ---: |" * (len(COLUMNS) - 1)]
    for row in [*rows, every]:
        note = f" ({row['note']})" if row.get("note") else ""
        figures = [f"{row[name]:,}" for name in COLUMNS if name != "fault"]
        lines.append("| " + " | ".join([row["fault"] + note, *figures]) + " |")
    return "\n".join(lines) + "\n"


def write(table: str) -> None:
    """Put the table into the document."""
    text = DOCUMENT.read_text()
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    DOCUMENT.write_text(head + BEGIN + table + END + tail)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
