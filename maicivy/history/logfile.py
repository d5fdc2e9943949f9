"""Logs as streams of bytes: plain files, gzip and standard input, read in bounded pieces.

A log is known by keyed hashes of what it begins with, so that it is the same log after it was
renamed, compressed or written on.
"""

from __future__ import annotations

import gzip
import hmac
import itertools
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from maicivy.errors import OperatorError
from maicivy.history.logline import is_whole, read_line

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable, Iterator, Sequence

STANDARD_INPUT = "-"
# What is read at once, and so what is stored in one transaction: some two thousand lines.
PIECE_BYTES = 512 * 1024
HEAD_BYTES = 64 * 1024
MAX_LINE_BYTES = 16 * 1024
_GZIP = b"\x1f\x8b"


class BrokenLog(Exception):
    """A log cannot be read to its end; the message ends a sentence that begins with its name."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a log was read before, and the keyed hashes that tell that it is this log.

    `id` is the row that says so.
    """

    id: int
    head_bytes: int
    head: bytes
    read_bytes: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines, of which those that were too long to keep are only counted.

    `read_bytes` is where they end in the log and `digest` the keyed hash of all up to there;
    `share` is how much of the file that is, from 0 to 1, if it can be told.
    """

    text: str
    too_long: int
    read_bytes: int
    digest: bytes
    share: float | None


class Log:
    """One log, whose first bytes are read at once; raises `OperatorError` if that fails.

    `known` says, once the first piece was asked for, how far it had been read before.
    """

    def __init__(self, name: str, key: bytes) -> None:
        self.name = name
        self._key = key
        self._file: IO[bytes] | None = None
        self._size = 0
        self._stream = self._open_stream()
        self.head = self._read_head()
        self.known: Progress | None = None
        self.is_unfinished = False

    def begins(self) -> int | None:
        """Return the second of the first line that can be read; None if none can."""
        for line in self.head.decode("latin-1").split("\n"):
            read = read_line(line)
            if read is not None:
                return read.seconds
        return None

    def hash(self, head_bytes: int) -> bytes:
        """Return the keyed hash of what the log begins with."""
        return hmac.digest(self._key, self.head[:head_bytes], "sha256")

    def alike(self, earlier: Iterable[Progress]) -> list[Progress]:
        """Return those of `earlier` that begin as this log does."""
        return [
            one
            for one in earlier
            if one.head_bytes <= len(self.head) and self.hash(one.head_bytes) == one.head
        ]

    def pieces(self, alike: Sequence[Progress]) -> Iterator[Piece]:
        """Yield what was not read before; raises `BrokenLog`. `alike` are the longest first."""
        for one in alike:
            reader = _Reader(self, self._chunks(), self._key)
            if reader.skip(one):
                self.known = one
                yield from reader.pieces()
                return
            # a shorter copy of what was read has nothing new
            self.known = self.known or (one if reader.is_at_end else None)
            if self._stream is not None:
                break
        if self.known is not None:
            return
        if self._stream is not None and alike:
            raise BrokenLog("begins as a log that was read before but goes on in another way")
        yield from _Reader(self, self._chunks(), self._key).pieces()

    def share(self) -> float | None:
        """Return how much of the file was read, from 0 to 1; None if it cannot be told."""
        return min(1.0, self._file.tell() / self._size) if self._file and self._size else None

    def _open_stream(self) -> IO[bytes] | None:
        """Open what can be read only once, such as standard input and pipes; None for files."""
        if self.name == STANDARD_INPUT:
            return _unzipped(sys.stdin.buffer)
        path = Path(self.name)
        try:
            if not path.exists() or path.is_file() or path.is_dir():
                return None
            self._file = path.open("rb")
            return _unzipped(self._file)
        except OSError as error:
            raise _unreadable(self.name, error) from None

    def _read_head(self) -> bytes:
        try:
            if self._stream is not None:
                return next(_chunks_of(self._stream, HEAD_BYTES), b"")
            self._size = Path(self.name).stat().st_size
            return next(self._chunks(HEAD_BYTES), b"")
        except OSError as error:
            raise _unreadable(self.name, error) from None
        except BrokenLog as error:
            raise OperatorError(f"{self.name} {error}.") from None

    def _chunks(self, size: int = PIECE_BYTES) -> Iterator[bytes]:
        """Yield the log from its beginning; what was decompressed, if it is gzip."""
        if self._stream is not None:
            yield self.head
            yield from _chunks_of(self._stream, size)
            if self._file is not None:
                self._file.close()
            return
        with Path(self.name).open("rb") as file:
            self._file = file
            try:
                yield from _chunks_of(_unzipped(file), size)
            finally:
                self._file = None


def _unreadable(name: str, error: OSError) -> OperatorError:
    return OperatorError(f"{name} cannot be read: {error.strerror or type(error).__name__}.")


def _unzipped(stream: IO[bytes]) -> IO[bytes]:
    buffered: io.BufferedReader = stream  # type: ignore[assignment]
    if buffered.peek(len(_GZIP))[: len(_GZIP)] == _GZIP:
        return gzip.GzipFile(fileobj=buffered)  # type: ignore[return-value]
    return stream


def _chunks_of(stream: IO[bytes], size: int) -> Iterator[bytes]:
    try:
        while chunk := stream.read(size):
            yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BrokenLog("is no whole gzip file") from error


class _Reader:
    """Cuts the chunks of a log into whole lines, and keeps the hash of what it has cut off."""

    def __init__(self, log: Log, chunks: Iterator[bytes], key: bytes) -> None:
        self._log = log
        self._chunks = chunks
        self._mac = hmac.new(key, digestmod="sha256")
        self._read = 0
        self._rest = b""
        self.is_at_end = False

    def skip(self, known: Progress) -> bool:
        """Go to where a log was read before; False if this is another one, or ends before."""
        while self._read < known.read_bytes:
            chunk = next(self._chunks, b"")
            if not chunk:
                self.is_at_end = True
                return False
            part = chunk[: known.read_bytes - self._read]
            self._pass(part)
            self._rest = chunk[len(part) :]
        return hmac.compare_digest(self._mac.digest(), known.digest)

    def pieces(self) -> Iterator[Piece]:
        """Yield whole lines; of one that is too long nothing is kept, but it is counted."""
        in_long_line = False
        for chunk in itertools.chain((b"",), self._chunks):
            data = self._rest + chunk
            end = data.rfind(b"\n") + 1
            if not end and (in_long_line or len(data) > MAX_LINE_BYTES):
                self._pass(data)
                self._rest, in_long_line = b"", True
                continue
            self._rest = data[end:]
            if end:
                self._pass(data[:end])
                start = data.find(b"\n") + 1 if in_long_line else 0
                yield self._piece(data[start:end], int(in_long_line))
                in_long_line = False
        yield from self._last(in_long_line=in_long_line)

    def _last(self, *, in_long_line: bool) -> Iterator[Piece]:
        """Yield a last line without an end if it is whole; one still being written is left."""
        self._log.is_unfinished = in_long_line or bool(self._rest)
        if self._rest and not in_long_line and is_whole(self._rest.decode("latin-1")):
            self._pass(self._rest)
            self._log.is_unfinished = False
            yield self._piece(self._rest, 0)

    def _pass(self, data: bytes) -> None:
        self._mac.update(data)
        self._read += len(data)

    def _piece(self, data: bytes, too_long: int) -> Piece:
        return Piece(
            data.decode("latin-1"), too_long, self._read, self._mac.digest(), self._log.share()
        )
