"""What aiohttp does not mind in a WebSocket: frames without a mask, messages in endless pieces."""

from __future__ import annotations

from typing import Any

MAX_PIECES = 64

_MASKED = 0x80
_FINAL = 0x80
_OPCODE = 0x0F
_MASK_BYTES = 4
_LONGER = {126: 2, 127: 8}
# Reserved bits, which the reader answers by closing with 1002, as RFC 6455 asks for both.
_REFUSED = b"\xf0\x80"


class FrameCheck:
    """Stands before the reader, which sees a frame only once its head is found to be right."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._held = b""
        self._left = 0
        self._pieces = 0

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Pass `data` on up to the last frame head that is not whole yet."""
        data, start = self._held + bytes(data), self._left
        while (size := _frame_size(data[start : start + 10])) is not None:
            if not data[start + 1] & _MASKED or self._is_in_too_many_pieces(data[start]):
                return self._feed(data[:start] + _REFUSED)
            start += size
        end = min(start, len(data))
        self._held, self._left = data[end:], start - end
        return self._feed(data[:end])

    def feed_eof(self) -> None:
        """Pass the end on."""
        self._reader.feed_eof()

    def _feed(self, data: bytes) -> tuple[bool, bytes]:
        eof, tail = self._reader.feed_data(data) if data else (False, b"")
        return eof, tail

    def _is_in_too_many_pieces(self, first: int) -> bool:
        """Count the frames of a message, of which the last is final."""
        if first & _OPCODE < 8:  # control frames may come in between
            self._pieces = 0 if first & _FINAL else self._pieces + 1
        return self._pieces > MAX_PIECES


def _frame_size(head: bytes) -> int | None:
    """Return the length of the frame that begins with `head`, or None when that is too short."""
    if len(head) < 2:
        return None
    length, extra = head[1] & 0x7F, _LONGER.get(head[1] & 0x7F, 0)
    if len(head) < 2 + extra:
        return None
    if extra:
        length = int.from_bytes(head[2 : 2 + extra])
    return 2 + extra + _MASK_BYTES + length
