"""The description of the two ways to send events."""

from __future__ import annotations

from maicivy.ingest.body import MAX_EVENTS
from maicivy.web import schemas, schemas_events
from maicivy.web.collect import EVENTS_PER_PLACE, MAX_BATCH_BYTES
from maicivy.web.intake import BODY_SECONDS, MAX_BODY_BYTES
from maicivy.web.middleware import ANALYTICS
from maicivy.web.openapi_parts import KEPT, RATE_HEADERS, answered, cookie, errors, json_answer
from maicivy.web.schemas import Json, ref

_KINDS = ("application/json", "text/plain")


def collect(other_path: str | None = None) -> Json:
    """Describe how events are sent, alone and together, which may have another path too."""
    paths = {f"{ANALYTICS}/event": {"post": _one()}, f"{ANALYTICS}/events": {"post": _several()}}
    if other_path is not None:
        again = _several() | {"operationId": "post_events_again", "summary": "The same"}
        paths[other_path] = {"post": again}
    return paths


def script(path: str) -> Json:
    """Describe the tracker, which is served at `path`."""
    text = {"text/javascript": {"schema": schemas.STRING}}
    responses = {
        "200": answered("The script.", text),
        "304": answered("It is still the one that `If-None-Match` names."),
    }
    for response in responses.values():
        response["headers"] |= KEPT
    operation = {
        "tags": ["collect"],
        "summary": "The script that pages of any site send events with",
        "operationId": "get_tracker",
        "responses": responses,
    }
    return {path: {"get": operation}}


def _one() -> Json:
    stored = json_answer(
        "The event is durable and counted.",
        schemas.TRACKED,
        [*RATE_HEADERS, "Set-Cookie", "Idempotent-Replayed"],
    )
    ignored = json_answer("The event was not to be tracked.", schemas.NOT_TRACKED, RATE_HEADERS)
    return {
        "tags": ["collect"],
        "summary": "Track an event",
        "description": (
            "Answers once the event is durable: a GET right after it sees it. Visitors who opt out"
            " (`DNT: 1`, `Sec-GPC: 1`) and bots are not tracked (202). The body is one JSON object"
            f" of at most {MAX_BODY_BYTES} bytes in UTF-8, not compressed, without duplicate keys,"
            f" sent within {BODY_SECONDS:.0f} s;"
            " labelled `text/plain`, or not labelled, it is read just the same, so that"
            " `navigator.sendBeacon` works. After a 503 with the code `in_doubt` the event may be"
            " stored all the same: send it again with the `event_id` that it had, and it is counted"
            " once."
        ),
        "operationId": "post_event",
        "parameters": _sender(),
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": ref("Event")} for kind in _KINDS},
        },
        "responses": {"201": stored, "202": ignored} | errors(_CODES, RATE_HEADERS),
    }


_CODES = {
    400: ["invalid_json", "invalid_body", "missing_field", "invalid_field", "event_refused"],
    403: ["origin_not_allowed"],
    408: ["request_timeout"],
    413: ["body_too_large"],
    415: ["unsupported_media_type", "unsupported_charset", "unsupported_coding"],
    429: ["rate_limited"],
    503: ["unavailable", "queue_full", "database_unavailable", "in_doubt"],
}


def _opt_out(name: str) -> Json:
    text = "`1` says that the visitor is not to be tracked."
    return {"name": name, "in": "header", "description": text, "schema": schemas.STRING}


def _several() -> Json:
    headers = [*RATE_HEADERS, "Set-Cookie"]
    stored = json_answer("Those with the status 201 are durable.", schemas.BATCH, headers)
    none = json_answer("None of the events is valid.", schemas.BATCH, headers)
    ignored = json_answer("The events were not to be tracked.", schemas.NOT_TRACKED, RATE_HEADERS)
    codes = _CODES | {400: ["invalid_json", "invalid_body", "invalid_field"]}
    return {
        "tags": ["collect"],
        "summary": "Track several events",
        "description": (
            f"Up to {MAX_EVENTS} events of one visitor in one request of at most {MAX_BATCH_BYTES}"
            f" bytes, each as in `POST /event`. Answers once all that are valid are durable, which"
            " happens in one transaction; `data` says of each what became of it. An event that is"
            f" not valid is refused alone. In the rate limit every {EVENTS_PER_PLACE} events, begun"
            " ones too, weigh one request. A `page_load` of a page that this server has served"
            " from `MAICIVY_SITE_DIR`, and so counted, is answered `counted`."
        ),
        "operationId": "post_events",
        "parameters": _sender(),
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": schemas_events.events()} for kind in _KINDS},
        },
        "responses": {"200": none, "201": stored, "202": ignored} | errors(codes, RATE_HEADERS),
    }


def _sender() -> list[Json]:
    return [
        _opt_out("DNT"),
        _opt_out("Sec-GPC"),
        cookie("The session; one that is not ours is replaced, and is no error."),
    ]
