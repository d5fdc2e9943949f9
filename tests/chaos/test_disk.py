"""The disk under PostgreSQL fills up: events are refused, none is lost, and it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.chaos.arena import Arena
from tests.chaos.load import Load
from tests.chaos.oracle import judge
from tests.conftest import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

DISK_MIB = 160


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(path)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {made.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
async def small_arena(disk: Path) -> AsyncIterator[Arena]:
    async with Arena(disk).opened() as opened:
        await opened.recovered()
        yield opened


async def test_disk_full(small_arena: Arena, disk: Path) -> None:
    arena, load = small_arena, Load([small_arena.program.url])
    postgres, filler = arena.server("postgres"), disk / "filler"
    async with load.running():
        await asyncio.sleep(1)
        fill(filler)

        def refused() -> bool:
            return not postgres.is_running() or any(one.status == 503 for one in load.answers)

        await until(refused, 60)
        await asyncio.sleep(2)
        filler.unlink()
        if not postgres.is_running():  # it stops when even its log cannot be written
            await arena.start("postgres")
        recovery = await arena.recovered()
        await asyncio.sleep(1)
    await judge(arena, load, "PostgreSQL: disk full", recovery_seconds=recovery)


def fill(file: Path) -> None:
    """Leave not a byte on the disk."""
    with file.open("wb", buffering=0) as stream:
        for size in (1024 * 1024, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    stream.write(os.urandom(size))
