"""An arena for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.arena import Arena
from tests.chaos.length import FULL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


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
