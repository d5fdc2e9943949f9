"""The figures of the last run of each scenario: kept as JSON, shown in RESULTS.md."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import chart
from bench.figures import Figure, short, spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.scenario import Scenario

FOLDER = Path(__file__).with_name("results")
TABLE = Path(__file__).with_name("RESULTS.md")
LIBRARIES = ("aiohttp", "asyncpg", "redis", "prometheus-client", "uvloop", "orjson", "hiredis")


def keep(scenario: Scenario, figures: list[Figure]) -> None:
    """Put the figures of one run in place of the last ones."""
    FOLDER.mkdir(exist_ok=True)
    kept = {"machine": machine(), "figures": [figure.as_json() for figure in figures]}
    (FOLDER / f"{scenario.name}.json").write_text(json.dumps(kept, indent=2) + "\n")


def machine() -> dict[str, str]:
    """Return what the figures were measured on."""
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
    }


def write(scenarios: Sequence[Scenario]) -> None:
    """Write RESULTS.md and the chart from what is kept."""
    lines = ["# Results", "", "Written by `make bench`: medians of the rounds and their range.", ""]
    figures: list[Figure] = []
    for scenario in scenarios:
        file = FOLDER / f"{scenario.name}.json"
        if file.exists():
            kept = json.loads(file.read_text())
            seen = [_figure(one) for one in kept["figures"]]
            lines += _section(scenario, kept["machine"], seen)
            figures += seen
    if chart.draw(figures):
        lines[3:3] = ["![ratios](../docs/images/performance.png)", ""]
    TABLE.write_text("\n".join(lines).rstrip() + "\n")


def _figure(one: dict[str, Any]) -> Figure:
    return Figure(**one | {name: tuple(one[name]) for name in ("values", "baseline")})


def _section(
    scenario: Scenario, machine: dict[str, str], figures: Sequence[Figure]
) -> Iterator[str]:
    where = ", ".join(f"{name} {value}" for name, value in machine.items())
    yield f"## {scenario.title}"
    yield ""
    yield f"`python -m bench {scenario.name}`: {where}."
    yield ""
    yield "| measured | ratio | value | beside it | promised | rounds |"
    yield "| --- | --- | --- | --- | --- | --- |"
    yield from map(_row, figures)
    yield ""


def _row(figure: Figure) -> str:
    ratio = beside = ""
    if figure.baseline:
        ratios = Figure("", "", figure.ratios)
        base = Figure("", "", figure.baseline)
        ratio = f"**{short(ratios.median)}** ({spread(figure.ratios)})"
        beside = f"{figure.baseline_name} {short(base.median)} ({spread(figure.baseline)})"
    value = f"{short(figure.median)} {figure.unit} ({spread(figure.values)})"
    cells = (figure.name, ratio, value, beside, figure.promise, str(len(figure.values)))
    return f"| {' | '.join(cells)} |"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
