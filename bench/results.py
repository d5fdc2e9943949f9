"""The figures of the last run of each scenario: kept as JSON, shown in RESULTS.md."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    """Write RESULTS.md from what is kept."""
    lines = [
        "# Results",
        "",
        "Written by `make bench`: medians of the rounds, and their range.",
        "",
    ]
    for scenario in scenarios:
        file = FOLDER / f"{scenario.name}.json"
        if file.exists():
            lines += _section(scenario, json.loads(file.read_text()))
    TABLE.write_text("\n".join(lines).rstrip() + "\n")


def _section(scenario: Scenario, kept: dict[str, Any]) -> Iterator[str]:
    yield f"## {scenario.title}"
    yield ""
    where = ", ".join(f"{name} {value}" for name, value in kept["machine"].items())
    yield f"`python -m bench {scenario.name}`: {where}."
    yield ""
    yield "| measured | ratio | value | beside it | promised | rounds |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for one in kept["figures"]:
        figure = Figure(
            **one | {"values": tuple(one["values"]), "baseline": tuple(one["baseline"])}
        )
        yield _row(figure)
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
