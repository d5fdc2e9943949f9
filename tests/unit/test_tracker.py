"""The tracker's file: made of its source by `make tracker`, and small."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path

from maicivy.web.tracker import EVENTS, FILE

MAX_BYTES = 2_000
MAX_PACKED_BYTES = 1_000


def test_it_is_what_make_tracker_makes() -> None:
    command = [sys.executable, "-m", "tests.minify", "--print"]
    root = Path(__file__).parents[2]
    made = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout
    assert made == FILE.read_bytes()


def test_it_is_small() -> None:
    script = FILE.read_bytes()
    assert len(script) < MAX_BYTES
    # however it is packed: with the name of the file, as the command does, too
    assert len(gzip.compress(script)) + len(FILE.name) + 1 < MAX_PACKED_BYTES


def test_it_keeps_nothing_in_the_browser() -> None:
    script = FILE.read_text(encoding="utf-8")
    assert "cookie" not in script
    assert "sessionStorage" not in script
    assert re.findall(r"localStorage[.\[]\w+.", script) == ["localStorage.maicivy_ignore|"]


def test_the_server_finds_the_address_to_replace() -> None:
    assert FILE.read_text(encoding="utf-8").count(EVENTS) == 1
