"""The description of `/me`, what visitors may do with their own data."""

from __future__ import annotations

from maicivy.web import schemas
from maicivy.web.middleware import ANALYTICS
from maicivy.web.openapi_parts import RATE_HEADERS, cookie, errors, json_answer, query
from maicivy.web.schemas import Json, ref


def me() -> Json:
    """Describe what a visitor may do with their own data; the cookie is all that is asked for."""
    session = cookie("Says whose data; without one of ours nothing is found, and is no error.")
    private = {"Cache-Control": ref("Cache-Control-Private", "headers")}
    shown = json_answer("What is held.", schemas.answer(schemas.ME, schemas.ME_META), RATE_HEADERS)
    shown["headers"] |= private
    gone = json_answer(
        "Nothing is held any more.",
        schemas.answer(schemas.FORGOTTEN),
        [*RATE_HEADERS, "Set-Cookie"],
    )
    gone["headers"] |= private
    cursor = query(
        "cursor",
        {"type": "string", "pattern": schemas.CURSOR},
        "The `meta.next_cursor` of an earlier answer.",
    )
    return {
        f"{ANALYTICS}/me": {
            "get": {
                "tags": ["visitor"],
                "summary": "Your own data",
                "description": (
                    "Everything that is held of the visitor with this cookie, events newest first."
                    " Asking is not tracked and gives no cookie. It takes a place in the rate"
                    " limit of events."
                ),
                "operationId": "get_me",
                "parameters": [query("limit", schemas.LIMIT, "How many events."), cursor, session],
                "responses": {"200": shown}
                | errors(
                    {400: ["invalid_parameter"], 429: ["rate_limited"], 503: ["unavailable"]},
                    RATE_HEADERS,
                ),
            },
            "delete": {
                "tags": ["visitor"],
                "summary": "Delete your own data",
                "description": (
                    "Removes the visitor with this cookie, their events, and them from every count"
                    " of visitors; totals, which name nobody, stay. The cookie ends. Repeating it"
                    " does no harm. It takes a place in the rate limit of events."
                ),
                "operationId": "delete_me",
                "parameters": [session],
                "responses": {"200": gone}
                | errors(
                    {
                        403: ["origin_not_allowed"],
                        429: ["rate_limited"],
                        503: ["unavailable"],
                    },
                    RATE_HEADERS,
                ),
            },
        }
    }
