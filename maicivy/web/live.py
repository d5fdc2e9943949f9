"""`/ws/analytics`: the live feed to one client, and what the client may ask."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import time
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, WSCloseCode, WSMsgType, web

from maicivy.background.clients import text_frame
from maicivy.errors import InvalidRequest, StorageUnavailable, UpgradeRequired
from maicivy.ingest.body import parse_object
from maicivy.web.access import while_allowed
from maicivy.web.client import check_origin
from maicivy.web.keys import ACCESS, CONFIG, HUB, SOCKETS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.abc import AbstractStreamWriter

    from maicivy.background.clients import Client
    from maicivy.background.hub import Hub

MAX_FRAME_BYTES = 4096
PING_SECONDS = 20.0
FLOOD_MESSAGES = 100
FLOOD_SECONDS = 10.0
CLOSE_SECONDS = 2.0
# A client with more than this still to be read is no longer written to directly.
ROOM_BYTES = 16 * 1024


async def websocket(request: web.Request) -> web.WebSocketResponse:
    """Serve one client until it leaves or the server stops."""
    _check_handshake(request)
    check_origin(request, request.app[CONFIG].allowed_origins)
    hub = request.app[HUB]
    client = hub.connect(lambda: _abort(request))
    socket = web.WebSocketResponse(
        heartbeat=PING_SECONDS,
        compress=False,
        # pings count as messages, so that a flood of them is noticed
        autoping=False,
        # aiohttp refuses frames of this size, not beyond it
        max_msg_size=MAX_FRAME_BYTES + 1,
        timeout=CLOSE_SECONDS,
    )
    try:
        writer = await socket.prepare(request)
        request.app[SOCKETS].add(socket)
        async with _watched(request, socket):
            await _serve(_Line(request, socket, writer), hub, client)
    finally:
        request.app[SOCKETS].discard(socket)
        hub.disconnect(client)
    return socket


async def close_all(app: web.Application) -> None:
    """Say goodbye (1001) to every client at once; who does not answer in 2 s is cut off."""
    goodbyes = [
        socket.close(code=WSCloseCode.GOING_AWAY, message=b"server stopping")
        for socket in app[SOCKETS]
    ]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await asyncio.gather(*goodbyes, return_exceptions=True)
    await app[HUB].close()


@contextlib.asynccontextmanager
async def _watched(request: web.Request, socket: web.WebSocketResponse) -> AsyncIterator[None]:
    """End the feed when its reader may read no longer: a link was revoked, a login is over."""

    async def watch() -> None:
        await while_allowed(request)
        await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"login required")

    if request.app[ACCESS].password is None:
        yield
        return
    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.wait([watcher], timeout=CLOSE_SECONDS)


def _check_handshake(request: web.Request) -> None:
    """Refuse what aiohttp would let pass though RFC 6455 does not."""
    upgrades = "websocket" in request.headers.get("Upgrade", "").lower()
    if not upgrades or request.version < HttpVersion11:
        raise UpgradeRequired(
            "This address speaks WebSocket only.",
            headers={"Upgrade": "websocket", "Connection": "Upgrade"},
        )
    if request.headers.get("Sec-WebSocket-Version") != "13":
        raise InvalidRequest(
            "Only version 13 of WebSocket is spoken.",
            code="invalid_handshake",
            headers={"Sec-WebSocket-Version": "13"},
        )
    if request.body_exists:
        raise InvalidRequest("A WebSocket handshake has no body.", code="invalid_handshake")


class _Line:
    """The way to one client, beside aiohttp's own: both write whole frames only.

    aiohttp writes what it has to say (pongs, pings, the closing handshake) at once as well, and
    nothing is compressed, so that frames of the two cannot be mixed up.
    """

    def __init__(
        self, request: web.Request, socket: web.WebSocketResponse, writer: AbstractStreamWriter
    ) -> None:
        self.socket = socket
        self.drain = writer.drain
        self._transport = request.transport

    def has_room(self) -> bool:
        """Say whether it is open and what is written now goes out soon."""
        transport = self._open()
        return transport is not None and transport.get_write_buffer_size() < ROOM_BYTES

    def write(self, frames: bytes) -> None:
        """Write whole frames; nothing once the closing handshake has begun."""
        transport = self._open()
        if transport is not None:
            transport.write(frames)

    def _open(self) -> asyncio.Transport | None:
        transport = self._transport
        closed = transport is None or self.socket.closed or transport.is_closing()
        return None if closed else transport


async def _serve(line: _Line, hub: Hub, client: Client) -> None:
    # What is broadcast meanwhile waits: the numbers come first, and no event is missed after them.
    client.start(line, text_frame(await _stats(hub, "initial_stats")))
    sender = asyncio.create_task(_send(line, client))
    try:
        await _receive(line.socket, hub, client)
    finally:
        sender.cancel()
        await asyncio.wait([sender], timeout=CLOSE_SECONDS)


async def _send(line: _Line, client: Client) -> None:
    """Send what is queued, as fast as the client reads."""
    with contextlib.suppress(ConnectionError):
        while True:
            line.write(await client.take())
            await line.drain()


async def _receive(socket: web.WebSocketResponse, hub: Hub, client: Client) -> None:
    arrivals: collections.deque[float] = collections.deque(maxlen=FLOOD_MESSAGES)
    async for message in socket:
        now = time.monotonic()
        if len(arrivals) == FLOOD_MESSAGES and now - arrivals[0] < FLOOD_SECONDS:
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"too many messages")
            return
        arrivals.append(now)
        if message.type is WSMsgType.TEXT:
            await _answer(message.data, hub, client)
        elif message.type is WSMsgType.PING:
            await socket.pong(message.data)
        elif message.type is WSMsgType.BINARY:
            _put_error(client, "Only text messages are understood.", "binary_message")


async def _answer(text: str, hub: Hub, client: Client) -> None:
    try:
        kind = parse_object(text.encode(errors="replace")).get("type")
    except InvalidRequest as error:
        return _put_error(client, error.message, error.code)
    if kind == "ping":
        _put(client, json.dumps({"type": "pong", "time": int(time.time())}).encode())
    elif kind == "refresh_stats":
        _put(client, await _stats(hub, "initial_stats"))
    else:
        _put_error(client, "The type must be ping or refresh_stats.", "unknown_type")
    return None


async def _stats(hub: Hub, kind: str) -> bytes:
    try:
        return await hub.stats_message(kind)
    except StorageUnavailable:
        return _error("The numbers are not available now.", "unavailable")


def _put_error(client: Client, error: str, code: str) -> None:
    _put(client, _error(error, code))


def _put(client: Client, message: bytes) -> None:
    frame = text_frame(message)
    client.send([frame], frame)


def _error(error: str, code: str) -> bytes:
    return json.dumps({"type": "error", "error": error, "code": code}).encode()


def _abort(request: web.Request) -> None:
    if isinstance(request.transport, asyncio.WriteTransport):
        request.transport.abort()
