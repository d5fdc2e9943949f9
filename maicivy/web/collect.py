"""`POST /event` and `POST /events`: from the bytes of a request to durable events."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from maicivy.errors import ApiError
from maicivy.ingest.body import as_object, parse_events
from maicivy.ingest.ledger import DropReason
from maicivy.jsontext import encode
from maicivy.web.answers import json_response
from maicivy.web.client import is_https, session_cookie
from maicivy.web.intake import MAX_BODY_BYTES, too_large
from maicivy.web.keys import INTAKE, LEDGER, PROXIES, WRITER
from maicivy.web.tracker import counted_load

if TYPE_CHECKING:
    from aiohttp import web

    from maicivy.ingest.event import Event
    from maicivy.ingest.identity import Identity
    from maicivy.ingest.network import Proxies
    from maicivy.ingest.waiting import Outcome
    from maicivy.web.intake import Taken

MAX_BATCH_BYTES = 64 * 1024
# How many events weigh as much as one request in the rate limit.
EVENTS_PER_PLACE = 10

TRACKED = b'{"success": true, "message": "Event tracked successfully"}'


async def post_event(request: web.Request) -> web.Response:
    """Store one event; 201 once it is durable, 202 when it is not to be tracked."""
    taken = await request.app[INTAKE].take(request)
    return answer_to(request, taken, request.app[PROXIES])


def answer_to(request: web.Request, taken: Taken | DropReason, proxies: Proxies) -> web.Response:
    """Return the answer to an event that was taken, or that is not to be tracked."""
    if isinstance(taken, DropReason):
        return _not_tracked(taken)
    identity, secure = taken.identity, is_https(request, proxies)
    if not taken.is_new:
        return replayed(identity, secure=secure)
    response = json_response(TRACKED, status=HTTPStatus.CREATED)
    _give_cookie(response, identity, secure=secure)
    return response


def replayed(identity: Identity, *, secure: bool) -> web.Response:
    """Return the answer to an event that had been stored under the same `event_id`."""
    response = json_response(TRACKED, status=HTTPStatus.CREATED)
    response.headers["Idempotent-Replayed"] = "true"
    _give_cookie(response, identity, secure=secure)
    return response


def _give_cookie(response: web.Response, identity: Identity, *, secure: bool) -> None:
    if identity.new_cookie is not None:
        response.headers.add("Set-Cookie", session_cookie(identity, secure=secure))


async def post_events(request: web.Request) -> web.Response:
    """Store up to 500 events at once; 201 once all that are valid are durable."""
    ledger, batch = request.app[LEDGER], _Batch()
    try:
        identity = await batch.read(request)
    except BaseException as error:
        # one that cannot be read counts as one
        count = max(1, len(batch.events))
        ledger.receive(count)
        for _ in range(count):
            ledger.refuse(error)
        raise
    ledger.receive(len(batch.events))
    if isinstance(identity, DropReason):
        for _ in batch.events:
            ledger.drop(identity)
        return _not_tracked(identity)
    for reason in batch.refused.values():
        ledger.refuse(reason)
    if batch.counted is not None:
        ledger.drop(DropReason.DUPLICATE)
    batch.end(await request.app[WRITER].store_all(batch.valid))
    response = batch.answer()
    _give_cookie(response, identity, secure=is_https(request, request.app[PROXIES]))
    return response


class _Batch:
    """The events of one request: those that are valid, and why the others are not."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.valid: list[Event] = []
        self.refused: dict[int, ApiError] = {}
        # The place of a page view that was counted as the page was served.
        self.counted: int | None = None
        self._indexes: list[int] = []
        self._replayed: set[int] = set()

    async def read(self, request: web.Request) -> Identity | DropReason:
        """Read and check the events; raises an `ApiError` about the request as a whole."""
        intake = request.app[INTAKE]
        sender = await intake.admit(request)
        if isinstance(sender, DropReason):
            self.events = [None]
            return sender
        body = await intake.read_body(request, MAX_BATCH_BYTES)
        self.events = parse_events(body)
        if (more := math.ceil(len(self.events) / EVENTS_PER_PLACE) - 1) > 0:
            await intake.weigh(request, sender, more)
        identity = intake.identify(sender)
        if isinstance(identity, DropReason):
            return identity
        may_be_long = len(body) > MAX_BODY_BYTES
        load = counted_load(request, self.events)
        for index, value in enumerate(self.events):
            try:
                fields = intake.check(sender.head, _event_body(value, may_be_long=may_be_long))
            except ApiError as error:
                self.refused[index] = error
                continue
            if index == load:
                self.counted = index
                continue
            self.valid.append(intake.event(fields, identity, sender))
            self._indexes.append(index)
        return identity

    def end(self, outcomes: list[Outcome]) -> None:
        """Note what became of the valid ones."""
        for index, outcome in zip(self._indexes, outcomes, strict=True):
            if isinstance(outcome, ApiError):
                self.refused[index] = outcome
            elif not outcome:
                self._replayed.add(index)

    def answer(self) -> web.Response:
        """Return what became of each event: 201 if one is durable, 200 if none is valid."""
        stored = len(self.events) - len(self.refused)
        items = [self._item(index) for index in range(len(self.events))]
        body = {"success": True, "message": f"{stored} of {len(items)} events tracked"}
        status = HTTPStatus.CREATED if stored else HTTPStatus.OK
        return json_response({**body, "data": items}, status=status)

    def _item(self, index: int) -> dict[str, Any]:
        error = self.refused.get(index)
        if error is not None:
            told = {"code": error.code, "error": error.message}
            return {"index": index, "status": int(error.status), **told}
        return {"index": index, "status": 201, "code": self._code(index)}

    def _code(self, index: int) -> str:
        if index == self.counted:
            return "counted"
        return "replayed" if index in self._replayed else "tracked"


def _event_body(value: Any, *, may_be_long: bool) -> dict[str, Any]:
    """Return what one event of several says, which may be as long as a lone one."""
    body = as_object(value)
    if may_be_long and len(encode(body)) > MAX_BODY_BYTES:
        raise too_large(MAX_BODY_BYTES)
    return body


def _not_tracked(reason: DropReason) -> web.Response:
    return json_response(
        {"success": True, "message": "Not tracked", "reason": reason}, status=HTTPStatus.ACCEPTED
    )
