"""Frames for many clients, the queue of one that does not read, and the sample of a flood."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
from aiohttp.base_protocol import BaseProtocol

from maicivy.background import clients
from maicivy.background.clients import QUEUE_MESSAGES, WRITE_BYTES, Client, text_frame
from maicivy.ingest.sampling import Sampler


class Line:
    """Stands for a connection; without room it is one whose client does not read."""

    def __init__(self) -> None:
        self.room = True
        self.written: list[bytes] = []

    def has_room(self) -> bool:
        return self.room

    def write(self, frames: bytes) -> None:
        self.written.append(frames)


def give_up() -> None:
    raise AssertionError("nobody is cut off here")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
async def test_a_frame_is_what_a_websocket_reader_expects(size: int) -> None:
    loop = asyncio.get_running_loop()
    queue = WebSocketDataQueue(BaseProtocol(loop), 1 << 20, loop=loop)
    reader = WebSocketReader(queue, 1 << 20, compress=False, decode_text=True)
    reader.feed_data(text_frame(b"x" * size) + text_frame(b"next"))
    assert (await queue.read()).data == "x" * size
    assert (await queue.read()).data == "next"


async def test_who_reads_gets_everything_in_one_write() -> None:
    client, line = Client(give_up), Line()
    assert client.send([b"early"], b"early") == 0
    client.start(line, b"first")
    assert line.written == []
    assert await client.take() == b"firstearly"
    client.send([b"a", b"b"], b"ab")
    assert line.written == [b"ab"]


async def test_who_does_not_read_loses_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    client, line = Client(give_up), Line()
    client.start(line, b"")
    await client.take()
    line.room = False
    frames = [bytes([n % 256]) for n in range(QUEUE_MESSAGES)]
    assert client.send(frames, b"".join(frames)) == 0
    assert not client.stalled()
    assert client.send([b"x", b"y"], b"xy") == 2
    monkeypatch.setattr(clients, "STALLED_SECONDS", -1)
    assert client.stalled()
    line.room = True
    client.send([b"z"], b"z")  # behind what waits
    assert line.written == []
    assert await client.take() == b"".join([*frames[3:], b"xyz"])
    assert not client.stalled()


async def test_what_waits_is_taken_in_bites() -> None:
    client, frame = Client(give_up), b"x" * (WRITE_BYTES // 2)
    client.send([frame] * 5, frame * 5)
    sizes = [len(await client.take()) for _ in range(3)]
    assert sizes == [WRITE_BYTES, WRITE_BYTES, WRITE_BYTES // 2]


def test_up_to_the_rate_everything_passes() -> None:
    sampler, now = Sampler(200, 0.0), 0.0
    for _ in range(1000):
        now += 0.05
        assert sampler.take(10, now) == 10


def test_beyond_the_rate_so_many_pass() -> None:
    sampler = Sampler(200, 0.0)
    passed = [sampler.take(20, 0.01 * n) for n in range(1001)]
    assert sum(passed) == pytest.approx(200 + 200 * 10, abs=2)
    assert sampler.take(1000, 60.0) == 200
