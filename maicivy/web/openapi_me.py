"""The description of `/me`, what visitors may do with their own data."""

from __future__ import annotations

from maicivy.web import schemas
from maicivy.web.middleware import ANALYTICS
from maicivy.web.openapi_parts import RATE_HEADERS, cookie, errors, json_answer, query
from maicivy.web.schemas import Json, ref


def me() -> Json:
    """Describe what a visitor may do with their own data; the cookie is all that is asked for."""
    return {f"{ANALYTICS}/me": {"get": _shown(), "delete": _forgotten()}}


def _shown() -> Json:
    cursor: Json = {"type": "string", "pattern": schemas.CURSOR}
    return {
        "tags": ["visitor"],
        "summary": "Your own data",
        "description": (
            "Everything that is held of the visitor with this cookie, events newest first. Asking"
            " is not tracked and gives no cookie. It takes a place in the rate limit of events."
        ),
        "operationId": "get_me",
        "parameters": [
            query("limit", schemas.LIMIT, "How many events."),
            query("cursor", cursor, "The `meta.next_cursor` of an earlier answer."),
            _session(),
        ],
        "responses": {"200": _private("What is held.", schemas.answer(schemas.ME, schemas.ME_META))}
        | errors(
            {
                400: ["invalid_parameter"],
                429: ["rate_limited"],
                503: ["unavailable", "busy"],
            },
            RATE_HEADERS,
        ),
    }


def _forgotten() -> Json:
    gone = _private("Nothing is held any more.", schemas.answer(schemas.FORGOTTEN), "Set-Cookie")
    return {
        "tags": ["visitor"],
        "summary": "Delete your own data",
        "description": (
            "Removes the visitor with this cookie, their events, and them from every count of"
            " visitors; totals, which name nobody, stay. The cookie ends. Repeating it does no"
            " harm. It takes a place in the rate limit of events."
        ),
        "operationId": "delete_me",
        "parameters": [_session()],
        "responses": {"200": gone}
        | errors(
            {403: ["origin_not_allowed"], 429: ["rate_limited"], 503: ["unavailable"]}, RATE_HEADERS
        ),
    }


def _session() -> Json:
    return cookie("Says whose data; without one of ours nothing is found, and is no error.")


def _private(description: str, schema: Json, *headers: str) -> Json:
    answer = json_answer(description, schema, [*RATE_HEADERS, *headers])
    answer["headers"]["Cache-Control"] = ref("Cache-Control-Private", "headers")
    return answer
