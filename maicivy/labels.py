"""Bounds on the values of labels that come from outside: the first ones seen, then `other`."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAX_LABEL_VALUES = 100
OTHER = "other"


class BoundedLabel:
    """Lets the first `limit` values that it sees through; every later one becomes `other`."""

    def __init__(self, limit: int = MAX_LABEL_VALUES) -> None:
        self._seen: set[str] = set()
        self._limit = limit

    def __call__(self, value: str) -> str:
        """Return `value` or `other`."""
        if value in self._seen:
            return value
        if len(self._seen) >= self._limit:
            return OTHER
        self._seen.add(value)
        return value


class SharedLabel(BoundedLabel):
    """Lets the same values through in all workers: the first ones in a file that each appends to.

    One `write` at the end of a file is atomic and the order there decides, so no lock is needed.
    Whoever knows `limit` values reads and writes no more, which bounds the file as well.
    """

    def __init__(self, file: Path, limit: int = MAX_LABEL_VALUES) -> None:
        super().__init__(limit)
        self._file = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._read_bytes = 0

    def __call__(self, value: str) -> str:
        """Return `value` or `other`."""
        # a disk that is full costs the label, not the event
        with contextlib.suppress(OSError):
            if self._is_news(value):
                self._read()
            if self._is_news(value):
                os.write(self._file, json.dumps(value).encode() + b"\n")
                self._read()
        return value if value in self._seen else OTHER

    def _is_news(self, value: str) -> bool:
        return value not in self._seen and len(self._seen) < self._limit

    def _read(self) -> None:
        """Read the lines that were appended; one that a killed worker left broken is skipped."""
        unread_bytes = os.fstat(self._file).st_size - self._read_bytes
        whole, newline, _ = os.pread(self._file, unread_bytes, self._read_bytes).rpartition(b"\n")
        self._read_bytes += len(whole + newline)
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):
                if self._is_news(value := json.loads(line)):
                    self._seen.add(value)
