"""What the parts of the API's description are made of: answers, their headers, the live feed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maicivy.ingest.visitor import COOKIE_NAME
from maicivy.web import schemas
from maicivy.web.live import MAX_FRAME_BYTES
from maicivy.web.ready import REVALIDATED
from maicivy.web.schemas import Json, error_of, ref

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RATE_HEADERS = (
    "RateLimit-Policy",
    "RateLimit",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
)
_ALWAYS = ("X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy")
_MEANINGS = {
    400: "A parameter, a field or the body is wrong; the error names it.",
    403: "A page of this origin, or this reader, may not do this.",
    404: "There is nothing at this address.",
    408: "The body did not arrive in time.",
    409: "It cannot be done as things stand.",
    413: "The body is too large.",
    415: "The content type, charset or content coding is not understood.",
    429: "Too many requests from this client in the last minute.",
    503: "The database is gone, the queue is full, or too many large reports are being made.",
}


def answered(description: str, content: Json | None = None, headers: Sequence[str] = ()) -> Json:
    """Return a response object with the headers that every answer has, and `headers`."""
    names = (*_ALWAYS, *headers)
    response: Json = {"description": description, "headers": {n: ref(n, "headers") for n in names}}
    return response | ({"content": content} if content else {})


def json_answer(description: str, schema: Json, headers: Sequence[str] = ()) -> Json:
    """Return a response object whose body is JSON."""
    content = {"application/json": {"schema": schema}}
    return answered(description, content, ("Content-Security-Policy", *headers))


def query(name: str, schema: Json, description: str) -> Json:
    """Return a query parameter."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def cookie(description: str) -> Json:
    """Return the session cookie as a parameter."""
    return {
        "name": COOKIE_NAME,
        "in": "cookie",
        "description": description,
        "schema": schemas.STRING,
    }


def errors(codes: Mapping[int, Sequence[str]], headers: Sequence[str] = ()) -> Json:
    """Return the response objects of these statuses, each with one of its codes."""
    found = {}
    for status, names in sorted(codes.items()):
        extra = [*headers, *(["Retry-After"] if status in {429, 503} else [])]
        found[str(status)] = json_answer(_MEANINGS[status], error_of(*names), extra)
    return found


def _header(description: str, schema: Json, *, required: bool = False) -> Json:
    return {"description": description, "schema": schema} | ({"required": True} if required else {})


_NUMBER: Json = {"type": "integer", "minimum": 0}

HEADERS: Json = {
    "X-Content-Type-Options": _header(
        "Types are not guessed.", {"const": "nosniff"}, required=True
    ),
    "X-Frame-Options": _header(
        "Pages of other sites may not frame it.", {"const": "SAMEORIGIN"}, required=True
    ),
    "Referrer-Policy": _header(
        "What other sites are told.", {"const": "strict-origin-when-cross-origin"}, required=True
    ),
    "Content-Security-Policy": _header("It loads nothing.", schemas.STRING, required=True),
    "Cache-Control": _header("It is never kept.", {"const": "no-store"}, required=True),
    "Cache-Control-Private": _header(
        "Nobody keeps it.", {"const": "no-store, private"}, required=True
    ),
    "Cache-Control-Revalidated": _header(
        "It may be kept, behind a password by the reader alone, and is asked for again before it is"
        " used.",
        {"enum": [REVALIDATED, f"private, {REVALIDATED}"]},
        required=True,
    ),
    "Cache-Control-Public": _header("It is kept for a while.", schemas.STRING, required=True),
    "ETag": _header("Names these bytes.", schemas.STRING, required=True),
    "Access-Control-Allow-Origin": _header(
        "Every page may read this document.", schemas.STRING, required=True
    ),
    "Location": _header("Where to go.", schemas.STRING, required=True),
    "Set-Cookie": _header("The session of a new visitor, or the end of one.", schemas.STRING),
    "Idempotent-Replayed": _header("`true`: it had been stored before.", {"const": "true"}),
    "Retry-After": _header("Seconds to wait.", _NUMBER | {"minimum": 1}, required=True),
    "RateLimit-Policy": _header("The limit and its window; none when it is off.", schemas.STRING),
    "RateLimit": _header("What is left; none when the limit is off.", schemas.STRING),
    "X-RateLimit-Limit": _header("Events a minute.", _NUMBER),
    "X-RateLimit-Remaining": _header("Events left.", _NUMBER),
    "X-RateLimit-Reset": _header("Seconds until a place is free.", _NUMBER),
}

# What a report may be asked for again with, and what is said of one that is the same still.
REVALIDATION: Json = {
    "Cache-Control": ref("Cache-Control-Revalidated", "headers"),
    "ETag": ref("ETag", "headers"),
}
# What the tracker's script is kept by.
KEPT: Json = {
    "Cache-Control": ref("Cache-Control-Public", "headers"),
    "ETag": ref("ETag", "headers"),
    "Access-Control-Allow-Origin": ref("Access-Control-Allow-Origin", "headers"),
}
UNCHANGED: Json = answered("It is still the one that `If-None-Match` names.")
UNCHANGED["headers"] |= REVALIDATION

_NUMBERS = schemas.REALTIME


def _message(kind: str, **parts: Json) -> Json:
    return schemas.object_of(type={"const": kind}, **parts)


_EVENT = schemas.object_of(
    type=schemas.TIMELINE["items"]["properties"]["event_type"],
    visitor_id=schemas.TIMELINE["items"]["properties"]["visitor_id"],
    timestamp=schemas.TIMELINE["items"]["properties"]["created_at"],
    page_url=schemas.TIMELINE["items"]["properties"]["page_url"],
    data={"type": "object"},
)

_HEARTBEAT = _message("heartbeat", data=_NUMBERS)
_HEARTBEAT["properties"]["skipped_events"] = _NUMBER | {
    "minimum": 1,
    "description": "Events since the last heartbeat that nobody was sent; absent when none.",
}

LIVE_FEED: Json = {
    "summary": "The live feed",
    "description": (
        "Text messages of JSON. `initial_stats` comes first and answers `refresh_stats`, `pong`"
        " answers `ping`, `heartbeat` comes every 5 s, every event as it happens, or, beyond 200 a"
        " second, a sample of them. What is not"
        f" understood is answered with `error`; a message over {MAX_FRAME_BYTES} bytes ends the"
        " connection (1009), and so does a flood of them or the end of a login (1008) and the end"
        " of the program (1001)."
    ),
    "receives": {"oneOf": [_message("refresh_stats"), _message("ping")]},
    "sends": {
        "anyOf": [
            _message("initial_stats", data=_NUMBERS),
            _HEARTBEAT,
            _message("pong", time={"type": "integer", "description": "Unix time in seconds."}),
            _message("error", error=schemas.STRING, code=schemas.STRING),
            _EVENT,
        ]
    },
    "statuses": {
        "101": "Connected.",
        "400": "The handshake is wrong: `bad_request`.",
        "401": "Nobody is logged in, where there is a password: `login_required`.",
        "403": "A page of this origin may not connect: `origin_not_allowed`.",
        "426": "The request is no WebSocket handshake: `upgrade_required`.",
        "503": "Every place is taken: `too_many_connections`, with `Retry-After`.",
    },
}
