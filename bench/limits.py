"""What the two servers themselves can do, to be read beside the rest: no promise hangs on it.

`pgbench` inserts plain rows in statements of one and of a hundred; `redis-benchmark` (Debian's
redis-tools) sets keys, when it is there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.figures import Figure
from maicivy import embedded
from maicivy.embedded.programs import find_postgres

SECONDS = 5
CLIENTS = 64
TABLE = """
CREATE TABLE plain (
    id uuid PRIMARY KEY, visitor_id uuid, event_type text, event_data jsonb, page_url text,
    referrer text, session_duration integer, created_at timestamptz
)
"""
INSERT = """
INSERT INTO plain
SELECT gen_random_uuid(), gen_random_uuid(), 'page_view', '{"x": 1, "y": 2}', '/cv?theme=dev',
       NULL, 0, now()
FROM generate_series(1, %d);
"""


def _inserted(database_url: str, folder: Path, rows: int, clients: int) -> float:
    """Return rows a second."""
    pgbench = find_postgres([], folder).binary.with_name("pgbench")
    script = folder / "insert.sql"
    script.write_text(INSERT % rows)
    done = subprocess.run(
        [pgbench, "-n", "-M", "prepared", f"-c{clients}", "-j1", f"-T{SECONDS}", "-f", script,
         database_url],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if found is None:
        raise SystemExit(done.stdout)
    return float(found[1]) * rows


def _set(redis_url: str) -> float | None:
    """Return keys set a second, or None without the tool."""
    tool = shutil.which("redis-benchmark")
    if tool is None:
        return None
    socket = redis_url.removeprefix("unix://").partition("?")[0]
    command = [tool, "-s", socket, "-t", "set", "-n", "200000", "-c", "50", "-q", "--csv"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    row = next(line for line in done.stdout.splitlines() if line.startswith('"SET"'))
    return float(row.split(",")[1].strip('"'))


def _round() -> dict[str, float | None]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with embedded.start(folder / "data", connections=CLIENTS + 20) as servers:
            url = servers.database_url or ""
            psql = find_postgres([], folder).binary.with_name("psql")
            subprocess.run([psql, "-q", url, "-c", TABLE], check=True)
            return {
                "rows inserted one by one, 64 clients": _inserted(url, folder, 1, CLIENTS),
                "rows inserted by the hundred, 2 clients": _inserted(url, folder, 100, 2),
                "keys set in Redis, 50 clients": _set(servers.redis_url or ""),
            }


async def measure(rounds: int) -> list[Figure]:
    """Measure each, on servers of their own in each round."""
    seen = [_round() for _ in range(rounds)]
    return [
        Figure(name, "a second", values)
        for name in seen[0]
        if (values := tuple(one[name] or 0.0 for one in seen)) and any(values)
    ]
