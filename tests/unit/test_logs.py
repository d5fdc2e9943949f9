"""One line each, with fields, and nothing of what a visitor sent."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING

import pytest

from maicivy import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


def record(message: str, name: str = "maicivy.test", **values: object) -> logging.LogRecord:
    """Make a record of the exception under way, if there is one."""
    made = logging.LogRecord(name, logging.WARNING, "f.py", 1, message, ("canary",), sys.exc_info())
    if name.startswith("maicivy"):
        made.args = ()
    made.fields = values
    return made


def test_key_value_lines_for_people() -> None:
    line = logs.TextFormatter().format(record("a\nb", n=1, path="/a b", empty="", text='say "x"'))
    assert "\n" not in line
    head, _, tail = line.partition("warning")
    assert head.strip().endswith("Z")
    assert tail.strip() == 'a\\nb n=1 path="/a b" empty="" text="say \\"x\\""'


def test_json_lines_for_machines() -> None:
    line = json.loads(logs.JsonFormatter().format(record("x", n=1)))
    assert (line["level"], line["logger"], line["message"], line["n"]) == (
        "warning",
        "maicivy.test",
        "x",
        1,
    )


@pytest.mark.parametrize("formatter", [logs.TextFormatter(), logs.JsonFormatter()])
def test_an_exception_is_named_and_placed_but_not_quoted(formatter: logging.Formatter) -> None:
    try:
        int("canary@mail.example")
    except ValueError:
        line = formatter.format(record("failed"))
    assert "canary" not in line
    assert "ValueError" in line
    assert "test_logs.py:" in line


def test_other_packages_do_not_quote_a_visitor() -> None:
    line = logs.TextFormatter().format(record("Error from %s\nfuture: canary", "aiohttp.server"))
    assert "canary" not in line
    assert "Error from ?" in line


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("aiohttp.access").disabled = False


@pytest.mark.parametrize(
    ("style", "kind"), [("text", logs.TextFormatter), ("json", logs.JsonFormatter)]
)
def test_configure(root_logger: logging.Logger, style: str, kind: type) -> None:
    logs.configure("warning", style)
    [handler] = root_logger.handlers
    assert isinstance(handler.formatter, kind)
    assert root_logger.level == logging.WARNING
    assert logging.getLogger("aiohttp.access").disabled
