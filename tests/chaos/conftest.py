"""An arena for each test, and how much of everything: a short run or the whole one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.chaos.arena import Arena

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

T = TypeVar("T")

FULL = os.environ.get("MAICIVY_CHAOS") == "full"


def short_or_full(short: T, full: T) -> T:
    """Return the amount for this run: `MAICIVY_CHAOS=full` asks for the whole one."""
    return full if FULL else short


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "chaos" in item.path.parts:
            item.add_marker(pytest.mark.chaos)
            item.add_marker(pytest.mark.timeout(300 if not FULL else 900))


@pytest.fixture
async def arena(tmp_path: Path) -> AsyncIterator[Arena]:
    """Servers, proxies and one program, at rest and warm."""
    async with Arena(tmp_path).opened() as opened:
        await opened.recovered()
        yield opened
