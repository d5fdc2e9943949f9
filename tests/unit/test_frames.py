"""Frames reach the reader as they are, however they are cut; those that must not be do not."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from maicivy.web.frames import MAX_PIECES, FrameCheck
from tests.contract.test_hostile import PIECE, PING, TEXT, frame


class Recorder:
    """Stands for the reader and keeps what it is given."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""


def passed(sent: bytes, cuts: list[int]) -> bytes:
    """Return what the reader has seen of `sent`, which comes in pieces."""
    recorder = Recorder()
    check = FrameCheck(recorder)
    places = sorted({cut % (len(sent) + 1) for cut in cuts} | {0, len(sent)})
    for start, end in itertools.pairwise(places):
        check.feed_data(sent[start:end])
    return recorder.data


SIZES = st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536])
GOOD = st.builds(lambda size: frame(TEXT, b"x" * size), SIZES)
CUTS = st.lists(st.integers(min_value=0, max_value=200_000), max_size=20)


@given(st.lists(GOOD, max_size=4).map(b"".join), CUTS)
def test_good_frames_pass_unchanged(sent: bytes, cuts: list[int]) -> None:
    assert passed(sent, cuts) == sent


@given(st.lists(GOOD, max_size=3).map(b"".join), SIZES, CUTS)
def test_what_is_not_masked_ends_it_there(before: bytes, size: int, cuts: list[int]) -> None:
    sent = before + frame(TEXT, b"x" * size, masked=False)
    seen = passed(sent, [*cuts, 0])
    assert seen.startswith(before + b"\xf0\x80")
    assert frame(TEXT, b"x" * 10, masked=False) not in seen


def test_a_message_may_have_so_many_pieces() -> None:
    pieces = frame(TEXT, first=PIECE) + frame(0, first=PIECE) * (MAX_PIECES - 1)
    last = frame(0)
    assert passed((pieces + frame(PING) + last) * 3, []) == (pieces + frame(PING) + last) * 3
    assert passed(pieces + frame(0, first=PIECE) + last, []) == pieces + b"\xf0\x80" + b""
