"""The house as CONTRIBUTING.md draws it: imports only go down, every statement has a use."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from maicivy.errors import OperatorError
from maicivy.storage.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [ROOT / "run.py", *sorted((ROOT / "maicivy").rglob("*.py"))]

GROUND = frozenset(
    {"config", "errors", "exposition", "jsontext", "labels", "logs",
     "loop", "metrics", "periods", "shared"}
)  # fmt: skip
FLOORS = (
    GROUND,
    frozenset({"storage"}),
    frozenset({"ingest", "reports"}),
    frozenset({"background", "history"}),
    frozenset({"web"}),
    frozenset({"app", "embedded", "granting", "run", "serving", "workers"}),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# Who may know a library, wherever else it is imported.
KNOWN_BY = {
    "asyncpg": {"storage", "run"},
    "redis": {"storage", "run"},
    "aiohttp": {"web", "app", "run", "serving"},
}


def imports_of(source: str) -> Iterator[str]:
    """Yield every module that `source` imports, wherever it does; types only count too.

    `from package import name` may mean a module or something in one, so both are named.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import should name its module in full"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def room_of(file: Path) -> str:
    """Return the room that a file of the program belongs to, "" for the package itself."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    if parts[0] != "maicivy":
        return parts[0]
    return "" if parts[1] == "__init__" else parts[1]


def is_allowed(room: str, module: str) -> bool:
    """Say whether a file in `room` may import `module`."""
    library, _, rest = module.partition(".")
    if library != "maicivy":
        return room in KNOWN_BY.get(library, {room})
    other = rest.partition(".")[0]
    if other not in FLOOR_OF:
        return other == "__version__"
    if room == other:
        return True
    # The command line stands above its neighbours; the modules of the ground know each other.
    if room == "run" or (room in GROUND and other in GROUND):
        return True
    return room in FLOOR_OF and FLOOR_OF[other] < FLOOR_OF[room]


def names_used() -> set[str]:
    """Return every string that stands in the program's code."""
    return {
        node.value
        for file in PROGRAM
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_room_has_a_floor() -> None:
    assert {room_of(file) for file in PROGRAM} - {""} == FLOOR_OF.keys()


@pytest.mark.parametrize("file", PROGRAM, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_imports_only_go_down(file: Path) -> None:
    modules = imports_of(file.read_text(encoding="utf-8"))
    assert [module for module in modules if not is_allowed(room_of(file), module)] == []


@pytest.mark.parametrize(
    ("room", "line", "allowed"),
    [
        ("ingest", "from maicivy.reports import stats", False),
        ("reports", "import maicivy.ingest.event", False),
        ("reports", "from maicivy import ingest", False),
        ("storage", "if TYPE_CHECKING:\n    from maicivy.ingest.event import Event", False),
        ("metrics", "from maicivy.storage import keys", False),
        ("background", "def f():\n    import redis.asyncio", False),
        ("background", "from aiohttp import web", False),
        ("web", "from asyncpg import Record", False),
        ("web", "from maicivy.app import create_app", False),
        ("app", "from maicivy.embedded import start", False),
        ("", "from maicivy.app import create_app", False),
        ("web", "from maicivy.background.hub import Hub", True),
        ("config", "from maicivy.errors import ConfigError", True),
        ("metrics", "from maicivy import __version__", True),
        ("run", "from maicivy import embedded", True),
        ("storage", "import redis.asyncio", True),
        ("ingest", "import json", True),
    ],
)
def test_the_rule_tells_up_from_down(room: str, line: str, allowed: bool) -> None:  # noqa: FBT001
    assert all(is_allowed(room, module) for module in imports_of(line)) is allowed


def test_every_statement_is_used() -> None:
    assert set(load_queries()) - names_used() == set()


def test_a_statement_is_loaded_by_its_name(tmp_path: Path) -> None:
    write(
        tmp_path, "a", "-- name: one\n-- The first.\nSELECT 1;\n\n-- name: two\n-- Next.\nSELECT 2;"
    )
    assert load_queries(tmp_path) == {
        "one": "-- The first.\nSELECT 1",
        "two": "-- Next.\nSELECT 2",
    }


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({}, "no SQL files"),
        (
            {"a": "-- name: x\n-- One.\nSELECT 1;\n-- name: x\n-- Two.\nSELECT 2;"},
            "x is defined twice",
        ),
        ({"a": "-- name: x\n-- A.\nSELECT 1;", "b": "-- name: x\n-- B.\nSELECT 1;"}, r"b\.sql"),
        ({"a": "-- name: x\nSELECT 1;"}, "x in a.sql needs a description"),
        ({"a": "-- name: x\n-- Nothing follows."}, "x in a.sql needs a description and a body"),
        ({"a": "-- name: x\n"}, "x in a.sql needs a description and a body"),
    ],
    ids=["none", "twice", "twice in two files", "undescribed", "bodiless", "empty"],
)
def test_an_ambiguous_statement_is_refused(
    tmp_path: Path, files: dict[str, str], named: str
) -> None:
    for name, text in files.items():
        write(tmp_path, name, text)
    with pytest.raises(OperatorError, match=named):
        load_queries(tmp_path)


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.sql").write_text(text, encoding="utf-8")
