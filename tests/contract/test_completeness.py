"""Nothing of the document is forgotten: each block and each list entry is some test's business."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
from pathlib import Path

from tests.contract.deviations import DEVIATIONS, NOT_HELD, Subject
from tests.contract.document import END, PATH, SEED

SHA256 = "0947eaebb1e74545f48a45997e4fa35c36c3e77a5f21871a41835d3a75a5a2bc"

# What a module holds is taken when it is imported, whichever tests are selected.
MODULES = [
    importlib.import_module(f"tests.contract.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("test_*.py"))
]


def test_the_document_is_as_it_was() -> None:
    """What is not true of it belongs into the deviations, not into the document."""
    assert hashlib.sha256(PATH.read_bytes()).hexdigest() == SHA256


def test_everything_is_held_or_listed_as_not_held() -> None:
    untaken = SEED.untaken()
    assert {name: line for name, line in untaken.items() if name not in NOT_HELD} == {}
    assert set(NOT_HELD) - set(untaken) == set(), "listed as held by no test, and is held"


def test_every_fence_and_every_list_entry_was_read() -> None:
    """Counted by other means than the reader's own."""
    text = PATH.read_text(encoding="utf-8")
    fences = re.findall(r"^```\w*$", text, re.MULTILINE)
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    entries = re.findall(r"^ *(?:-|\d+\.) ", outside, re.MULTILINE)
    headings = re.findall(r"^#+ ", outside, re.MULTILINE)
    assert 2 * sum(len(section.blocks) for section in SEED.sections) == len(fences)
    assert sum(len(section.items) for section in SEED.sections) == len(entries)
    assert len(SEED.sections) == len(headings) + 1  # what stands above the first heading
    assert len(SEED.before(END)) > 70


def test_every_deviation_is_looked_for() -> None:
    assert {row.subject for row in DEVIATIONS} <= set(Subject.known)
    assert all(row.says != row.true and row.reason for row in DEVIATIONS)
    places = [row[:2] for row in DEVIATIONS]
    assert len(places) == len(set(places))


def test_every_subject_is_checked() -> None:
    """A subject that no test checks would let its deviations grow old."""
    for module in MODULES:
        source = inspect.getsource(module)
        for name, value in vars(module).items():
            if isinstance(value, Subject):
                assert f"{name}.check(" in source, (module.__name__, name)
            elif isinstance(value, dict) and any(
                isinstance(one, Subject) for one in value.values()
            ):
                assert re.search(rf"\b{name}\[.+\]\.check\(", source), (module.__name__, name)
