"""The unit for systemd is one that systemd understands, and takes rights away."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "maicivy.service"
EXPOSURE = 1.5  # of 10, by systemd's own count


def analyze(*arguments: str) -> str:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed (apt install systemd)")
    command = [tool, *arguments, str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_systemd_understands_it() -> None:
    said = analyze("verify").splitlines()
    assert [line for line in said if "is not executable" not in line] == []


def test_it_is_left_few_rights() -> None:
    found = re.search(
        r"Overall exposure level for maicivy.service: ([0-9.]+)",
        analyze("security", "--offline=true"),
    )
    assert found
    assert float(found[1]) <= EXPOSURE


def test_the_program_ends_before_its_servers() -> None:
    lines = UNIT.read_text().splitlines()
    assert "KillMode=mixed" in lines
    assert "ExecStart=/opt/maicivy/.venv/bin/python run.py" in lines
