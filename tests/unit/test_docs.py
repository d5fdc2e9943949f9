"""The documentation tells the truth: settings, metrics, links, versions, examples."""

from __future__ import annotations

import asyncio
import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from maicivy import __version__
from maicivy.config import SETTINGS, Config, Setting
from maicivy.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Client

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NOT_OURS = {"build", "data", "dist", "node_modules", "vendor"}
NONE = "\N{EN DASH}"


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def pages() -> Iterator[Path]:
    """Yield every Markdown file of the project."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in NOT_OURS and (name == ".ci" or not name.startswith("."))
        ]
        yield from (Path(folder) / name for name in files if name.endswith(".md"))


PAGES = sorted(pages())


def section(text: str, title: str) -> str:
    """Return what stands under the heading `title`, deeper headings included."""
    start = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert start is not None, f"there is no heading {title!r}"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table row whose first cell is code, without the quotes there."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [[row[0].strip(" `"), *row[1:]] for row in cells]


def shown_default(setting: Setting) -> str:
    value = setting.default
    if value is None or value == ():
        return NONE
    if isinstance(value, Path):
        return f"./{value}"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return value.key if isinstance(value, ZoneInfo) else str(value)


def test_the_line_before_the_tracker_is_the_same_everywhere() -> None:
    files = ("README.md", "docs/tracker.md", "examples/elsewhere/index.html")
    lines = {
        line
        for name in files
        for line in read(ROOT / name).splitlines()
        if line.startswith("<script>window.maicivy")
    }
    assert len(lines) == 1
    assert all(next(iter(lines)) in read(ROOT / name) for name in files)


# --- settings -------------------------------------------------------------------------------------


def test_the_readme_lists_every_setting_with_its_default() -> None:
    table = rows(section(read(ROOT / "README.md"), "Configuration"))
    listed = [(variable, default.strip("`")) for variable, default, _ in table]
    assert listed == [(setting.variable, shown_default(setting)) for setting in SETTINGS]


def test_every_setting_has_a_section_and_no_other_has_one() -> None:
    titles = re.findall(r"^### `(\w+)`$", read(DOCS / "configuration.md"), re.MULTILINE)
    assert sorted(titles) == sorted(setting.variable for setting in SETTINGS)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.variable)
def test_a_section_tells_default_range_and_a_working_example(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = section(read(DOCS / "configuration.md"), f"`{setting.variable}`")
    default = shown_default(setting)
    expected = "none" if default == NONE else f"`{default}`"
    assert re.search(rf"^- Default: {re.escape(expected)}( |$)", text, re.MULTILINE)
    assert re.search(r"^- Range: \w", text, re.MULTILINE)
    assert (f"- File: `{setting.variable}_FILE`" in text) is setting.secret
    example = re.search(rf"^- Example: `{setting.variable}=(.+)`$", text, re.MULTILINE)
    assert example is not None
    monkeypatch.chdir(ROOT)
    value = getattr(Config.from_env({setting.variable: example[1]}), setting.field)
    assert value != setting.default


def rules() -> dict[str, str]:
    """Return, by variable, the range that a refusal names, where it is one of numbers or words."""
    found = {}
    for setting in SETTINGS:
        try:
            setting.parse("\x00")
        except ValueError as error:
            rule = str(error).removeprefix("must be ").removeprefix("must have ")
            if rule.startswith(("a whole number", "one of", "at least")):
                found[setting.variable] = rule
    return found


@pytest.mark.parametrize(("variable", "rule"), rules().items())
def test_a_range_is_the_one_that_is_checked(variable: str, rule: str) -> None:
    text = section(read(DOCS / "configuration.md"), f"`{variable}`")
    assert f"- Range: {rule}\n" in text


# --- metrics --------------------------------------------------------------------------------------


def exposed() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return type and labels of every metric of ours, by its full name."""
    registry = Metrics().registry
    collectors: list[Any] = list(registry._collector_to_names)
    return {
        f"{one._name}_total" if one._type == "counter" else one._name: (
            one._type,
            tuple(one._labelnames),
        )
        for one in collectors
        if getattr(one, "_name", "").startswith("maicivy_")
    }


def test_every_metric_is_documented_as_it_is_and_no_other() -> None:
    documented = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels, _ in rows(read(DOCS / "metrics.md"))
    }
    assert documented == exposed()


def test_every_metric_has_a_query_and_every_query_a_metric() -> None:
    asked = set()
    for query in promql():
        asked.update(re.findall(r"maicivy_\w+", query))
    names = exposed()
    endings = {"histogram": ("_bucket", "_sum", "_count")}
    samples = {
        name + ending: name
        for name, (kind, _) in names.items()
        for ending in endings.get(kind, ("",))
    }
    assert {samples.get(name, f"unknown {name}") for name in asked} == names.keys()


def promql() -> list[str]:
    """Return the queries of the page, which blank lines or comments part."""
    blocks = re.findall(
        r"^```promql\n(.*?)^```", read(DOCS / "metrics.md"), re.DOTALL | re.MULTILINE
    )
    queries: list[str] = []
    for block in blocks:
        for line in block.splitlines():
            if line.startswith("  "):
                queries[-1] += line
            elif line and not line.startswith("#"):
                queries.append(line)
    return queries


def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (apt install prometheus)")
    rules = "".join(
        f"      - record: documented:query{number}\n        expr: {query!r}\n"
        for number, query in enumerate(promql())
    )
    file = tmp_path / "rules.yml"
    file.write_text(f"groups:\n  - name: docs\n    rules:\n{rules}", encoding="utf-8")
    done = subprocess.run(
        [promtool, "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(promql()) > 20


# --- links ----------------------------------------------------------------------------------------


def without_code(text: str) -> str:
    return re.sub(
        r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    )


def links(text: str) -> list[str]:
    """Return the targets of links and images that lead to files of the project."""
    found = re.findall(r"\]\(([^)\s]+)\)", without_code(text))
    found += re.findall(r"(?:src|href)=\"([^\"]+)\"", without_code(text))
    return [target for target in found if not re.match(r"[a-z][a-z0-9+.-]*:|/", target)]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, made as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in links(read(page)):
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in anchors(read(file))):
            broken.append(target)
    assert broken == []


def test_links_are_seen() -> None:
    text = '[a](b.md#c) ![d](e.png) <img src="f.png"> [g](https://h) `[i](j)`\n```\n[k](l)\n```\n'
    assert links(text) == ["b.md#c", "e.png", "f.png"]
    assert anchors("# A `b_c`, d\n## E-f\n") == {"a-b_c-d", "e-f"}
    assert ROOT / "README.md" in PAGES
    assert DOCS / "README.md" in PAGES


def test_the_index_lists_every_page() -> None:
    listed = {
        (DOCS / target.partition("#")[0]).resolve() for target in links(read(DOCS / "README.md"))
    }
    assert {page for page in PAGES if page.is_relative_to(DOCS)} - listed <= {DOCS / "README.md"}


# --- proofs ---------------------------------------------------------------------------------------


def test_every_promise_of_privacy_names_a_test_that_is_there() -> None:
    table = section(read(DOCS / "privacy.md"), "What proves it")
    promises = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(promises) > 10
    for promise in promises:
        proofs = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", promise)
        assert proofs, promise
        for file, name in proofs:
            assert re.search(rf"^(async )?def {name}\(", read(ROOT / file), re.MULTILINE), name


# --- versions and decisions -----------------------------------------------------------------------


def test_the_version_is_the_same_everywhere() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert setup["metadata"]["version"] == __version__
    assert re.search(
        rf"(?<![\d.]){re.escape(__version__)}(?![\d.]?\d)", read(ROOT / "CHANGELOG.md")
    )


def test_decisions_are_numbered_without_gaps() -> None:
    files = sorted((DOCS / "decisions").glob("*.md"))
    numbers = [int(match[1]) for file in files if (match := re.match(r"(\d{4})-", file.name))]
    assert numbers == list(range(1, len(files) + 1))
    for number, file in zip(numbers, files, strict=True):
        heading = re.match(r"# (\d+)\W", read(file))
        assert heading is not None, file.name
        assert int(heading[1]) == number, file.name


# --- examples -------------------------------------------------------------------------------------


def curl_lines() -> list[str]:
    text = section(read(ROOT / "README.md"), "Ten lines to try")
    return [line for line in text.splitlines() if line.startswith("curl ")]


async def test_the_ten_lines_of_the_readme_work_as_written(client: Client) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    lines = curl_lines()
    assert len(lines) == 10
    for line in lines:
        assert "localhost:8080" in line
        command = line.replace("localhost:8080", f"{client.host}:{client.port}", 1)
        command = command.replace("curl ", "curl --silent --show-error --fail-with-body ", 1)
        process = await asyncio.create_subprocess_exec(
            "bash", "-o", "pipefail", "-c", command, stdout=subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, f"{line}\n{output.decode()}"
        assert b'"success": true' in output or b"maicivy_events_total" in output
        if "heatmap" in line or "timeline" in line or "themes" in line:
            assert b'"data": []' not in output, line
