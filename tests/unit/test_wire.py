"""What Redis is asked, byte by byte."""

from __future__ import annotations

from maicivy.storage.wire import command


def test_a_command_is_written_as_redis_reads_it() -> None:
    assert command(b"PING") == b"*1\r\n$4\r\nPING\r\n"
    assert command(b"SET", b"k", b"\r\n") == b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n"
