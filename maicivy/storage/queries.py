"""The SQL files: named, described statements, loaded once and refused when ambiguous."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from maicivy.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

SQL_FOLDER = Path(__file__).resolve().parents[2] / "sql"

_BLOCK = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


def load_queries(folder: Path = SQL_FOLDER / "queries") -> Mapping[str, str]:
    """Return every statement under `folder` by name.

    A block is a line `-- name: x`, at least one comment line that describes it, and the
    statement. Raises `OperatorError` for a missing folder, a duplicate name or a block without a
    description or a statement.
    """
    queries: dict[str, str] = {}
    files = sorted(folder.glob("*.sql"))
    if not files:
        raise OperatorError(f"There are no SQL files in {folder}; the installation is incomplete.")
    for file in files:
        for name, statement in _blocks(file):
            if name in queries:
                raise OperatorError(f"The query {name} is defined twice, again in {file.name}.")
            queries[name] = statement
    return queries


def _blocks(file: Path) -> list[tuple[str, str]]:
    blocks = []
    text = file.read_text(encoding="utf-8")
    if not _BLOCK.match(text):
        raise OperatorError(f"{file.name} must begin with a line such as `-- name: select_x`.")
    for match in _BLOCK.finditer(text):
        name, lines = match[1], match[2].strip().split("\n")
        if not lines[0].startswith("-- ") or all(line.startswith("--") for line in lines):
            raise OperatorError(f"The query {name} in {file.name} needs a description and a body.")
        blocks.append((name, "\n".join(lines).rstrip(";")))
    return blocks
