"""`python -m bench.watchers port clients deaf`: cheap WebSocket clients in a process of their own.

Says `ready` when all are connected. When its input ends it writes, as JSON, at which instant of the
monotonic clock the last client had each event, and how many had it. `deaf` more clients are
connected and never read.
"""

from __future__ import annotations

import collections
import json
import re
import resource
import select
import socket
import sys
import time

EVENT = re.compile(rb'"n": ?(\d+)')
SMALL_BUFFER = 4096
HANDSHAKE = (
    "GET /ws/analytics HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PONG = bytes((0x8A, 0x80, 0, 0, 0, 0))
PING = 0x89


def connect(port: int, buffer_bytes: int = 0) -> socket.socket:
    """Return a connected client."""
    client = socket.socket()
    if buffer_bytes:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    client.connect(("127.0.0.1", port))
    client.sendall(HANDSHAKE.encode())
    if not client.recv(12).endswith(b"101"):
        raise SystemExit("a client was refused")
    client.setblocking(False)  # noqa: FBT003 - it takes no name
    return client


def main() -> None:
    """Watch until the input ends."""
    port, count, deaf = map(int, sys.argv[1:])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kept = [connect(port, SMALL_BUFFER) for _ in range(deaf)]
    clients = {one.fileno(): one for one in (connect(port) for _ in range(count))}
    poll = select.epoll()
    for number in clients:
        poll.register(number, select.EPOLLIN)
    poll.register(sys.stdin, select.EPOLLIN)
    print("ready", flush=True)
    seen: collections.Counter[int] = collections.Counter()
    last: dict[int, float] = {}
    tails: dict[int, bytes] = {}
    while True:
        for number, _ in poll.poll(maxevents=1024):
            if number == sys.stdin.fileno():
                print(json.dumps({"last": last, "seen": seen}))
                del kept
                return
            data = tails.pop(number, b"") + clients[number].recv(16_384)
            now = time.monotonic()
            if data[:1] == bytes((PING,)):
                clients[number].send(PONG)
            for found in EVENT.findall(data):
                event = int(found)
                seen[event] += 1
                last[event] = now
            if data[-1:] not in (b"}", b"") and len(data) > 2:
                tails[number] = (
                    data[-200:] if b"}" not in data[-200:] else data[data.rindex(b"}") :]
                )


if __name__ == "__main__":
    main()
