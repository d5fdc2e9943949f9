"""Whose copy Redis holds, and who may have written into it."""

from __future__ import annotations

import pytest

from maicivy.storage import epochs

OURS = epochs.whole("db", 3, "run")


@pytest.mark.parametrize(
    ("found", "database", "generation"),
    [
        (OURS, True, True),
        (epochs.whole("db", 3, "earlier"), True, True),  # Redis was restarted
        (epochs.whole("db", 2, "run"), True, False),
        (epochs.whole("db", 33, "run"), True, False),
        (epochs.whole("other", 3, "run"), False, False),
        pytest.param(epochs.filling(OURS), True, False, id="filling"),
        (b"db:run", True, False),  # what was written before there were generations
        (b"", False, False),
        (None, True, False),
    ],
)
def test_what_of_a_copy_may_stay(found: bytes | None, database: object, generation: object) -> None:
    assert epochs.same_database(found, OURS) is database
    assert epochs.same_generation(found, OURS) is generation


def test_nobody_else_fills_under_the_same_marker() -> None:
    assert epochs.filling(OURS) != epochs.filling(OURS)


@pytest.mark.parametrize(
    ("found", "believed", "strayed"),
    [
        (OURS, OURS, False),
        pytest.param(epochs.filling(OURS), OURS, False, id="filling"),
        (epochs.whole("db", 4, "run"), OURS, True),
        pytest.param(epochs.filling(epochs.whole("db", 4, "run")), OURS, True, id="filling later"),
        (OURS, None, True),
        (None, OURS, False),
    ],
)
def test_writes_that_strayed(found: bytes | None, believed: bytes | None, strayed: object) -> None:
    assert epochs.strayed(found, believed) is strayed
