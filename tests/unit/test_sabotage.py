"""Sabotages follow the lines that they break."""

from __future__ import annotations

import pytest

from tests.sabotage import ROOT, SABOTAGES, Sabotage


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.name)
def test_the_line_is_there_once(sabotage: Sabotage) -> None:
    text = (ROOT / sabotage.file).read_text(encoding="utf-8")
    assert text.count(sabotage.old) == 1
