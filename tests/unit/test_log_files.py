"""Logs as streams: whole lines, gzip, lines without an end, and where a grown log goes on."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from maicivy.errors import OperatorError
from maicivy.history import logfile
from maicivy.history.logfile import BrokenLog, Log, Piece, Progress
from tests.unit.test_logline import line

if TYPE_CHECKING:
    from pathlib import Path

KEY = b"k" * 32
LINES = [line(request=f"GET /page/{number} HTTP/1.1") + "\n" for number in range(400)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "PIECE_BYTES", 4096)
    monkeypatch.setattr(logfile.Log._chunks, "__defaults__", (4096,))
    monkeypatch.setattr(logfile, "HEAD_BYTES", 1000)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    names = itertools.count()

    def make(content: bytes | str) -> str:
        file = tmp_path / f"{next(names)}.log"
        file.write_bytes(content.encode("latin-1") if isinstance(content, str) else content)
        return str(file)

    return make


def read(name: str, *earlier: Progress) -> tuple[list[Piece], Log]:
    log = Log(name, KEY)
    return list(log.pieces(log.alike(earlier))), log


def text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def progress(log: Log, piece: Piece) -> Progress:
    return Progress(1, len(log.head), log.hash(len(log.head)), piece.read_bytes, piece.digest)


def test_pieces_are_whole_lines_and_say_where_they_end(write: Any) -> None:
    pieces, log = read(write("".join(LINES)))
    assert len(pieces) > 5
    assert text(pieces) == "".join(LINES)
    assert all(piece.text.endswith("\n") for piece in pieces)
    ends = [len(text(pieces[: number + 1])) for number in range(len(pieces))]
    assert [piece.read_bytes for piece in pieces] == ends
    assert [piece.share for piece in pieces][-1] == 1.0
    assert not log.is_unfinished


@pytest.mark.parametrize("packed", [False, True])
def test_reading_goes_on_anywhere(write: Any, packed: bool) -> None:  # noqa: FBT001
    whole = "".join(LINES)
    pieces, log = read(write(whole))
    again = write(gzip.compress(whole.encode()) if packed else whole)
    for number, piece in enumerate(pieces):
        rest, other = read(again, progress(log, piece))
        assert text(rest) == text(pieces[number + 1 :])
        assert other.known is not None
    assert rest == []


def test_a_grown_log_goes_on_and_another_begins_anew(write: Any) -> None:
    short = "".join(LINES[:50])
    pieces, log = read(write(short))
    known = progress(log, pieces[-1])
    assert text(read(write(short + LINES[50]), known)[0]) == LINES[50]
    # begins alike, and goes on in another way
    other = short[:1200] + "x" + short[1201:] + LINES[51]
    assert text(read(write(other), known)[0]) == other
    strange = "".join(LINES[1:60])
    assert text(read(write(strange), known)[0]) == strange
    # an earlier copy of what was read
    earlier, log = read(write("".join(LINES[:20])), known)
    assert earlier == []
    assert log.known == known


def test_a_log_that_began_with_one_line_is_known_when_it_is_long(write: Any) -> None:
    pieces, log = read(write(LINES[0]))
    assert text(read(write("".join(LINES)), progress(log, pieces[0]))[0]) == "".join(LINES[1:])


def test_several_members_of_gzip_are_one_log(write: Any) -> None:
    both = b"".join(gzip.compress("".join(part).encode()) for part in (LINES[:9], LINES[9:]))
    assert text(read(write(both))[0]) == "".join(LINES)


def test_gzip_that_was_cut_off_is_read_as_far_as_it_goes(write: Any) -> None:
    name = write(gzip.compress("".join(LINES * 20).encode(), 1)[:-3000])
    pieces = Log(name, KEY).pieces([])
    assert "".join(LINES * 20).startswith(next(pieces).text)
    with pytest.raises(BrokenLog, match="no whole gzip"):
        list(pieces)
    with pytest.raises(OperatorError, match="no whole gzip"):
        Log(write(gzip.compress(LINES[0].encode())[:-9]), KEY)


@pytest.mark.parametrize("length", [logfile.MAX_LINE_BYTES + 1, 200_000])
def test_lines_that_are_too_long_are_counted_and_not_kept(write: Any, length: int) -> None:
    name = write(LINES[0] + "x" * length + "\n" + LINES[1])
    pieces, _ = read(name)
    kept = "".join(one for one in text(pieces).splitlines(keepends=True) if len(one) < 1000)
    long_ones = sum(len(one) > logfile.MAX_LINE_BYTES for one in text(pieces).splitlines())
    assert kept == LINES[0] + LINES[1]
    assert long_ones + sum(piece.too_long for piece in pieces) == 1
    assert (
        max(len(piece.text) for piece in pieces) < logfile.MAX_LINE_BYTES + 2 * logfile.PIECE_BYTES
    )
    assert pieces[-1].read_bytes == len(LINES[0] + LINES[1]) + length + 1


@pytest.mark.parametrize(
    ("end", "taken"),
    [(line(), True), (line()[:-1], False), (line()[:30], False), ("x" * 100_000, False)],
)
def test_a_last_line_without_an_end(write: Any, end: str, taken: bool) -> None:  # noqa: FBT001
    name = write(LINES[0] + end)
    pieces, log = read(name)
    assert log.is_unfinished is not taken
    assert text(pieces) == LINES[0] + (end if taken else "")
    if taken:
        more = write(LINES[0] + end + "\n" + LINES[1])
        assert text(read(more, progress(log, pieces[-1]))[0]).strip("\n") == LINES[1].strip("\n")


def test_standard_input_is_read_once(monkeypatch: pytest.MonkeyPatch, write: Any) -> None:
    def give(content: bytes) -> None:
        wrapped = io.TextIOWrapper(io.BufferedReader(io.BytesIO(content)))
        monkeypatch.setattr("sys.stdin", wrapped)

    whole = "".join(LINES)
    give(gzip.compress(whole.encode()))
    pieces, log = read("-")
    assert text(pieces) == whole
    assert pieces[0].share is None
    known = progress(log, pieces[3])
    give(whole.encode())
    assert text(read("-", known)[0]) == text(pieces[4:])
    give((whole[:1200] + "x" + whole[1201:]).encode())
    with pytest.raises(BrokenLog, match="goes on in another way"):
        read("-", known)
    give(b"")
    assert read("-", known)[0] == []


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """As a shell gives it for `<(zcat access.log.gz)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = gzip.compress("".join(LINES).encode())
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    pieces, _ = read(str(pipe))
    writer.join()
    assert text(pieces) == "".join(LINES)


def test_what_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    for name in (tmp_path, tmp_path / "none.log"):
        with pytest.raises(OperatorError, match="cannot be read"):
            Log(str(name), KEY)
