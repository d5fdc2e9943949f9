"""The description of who may read, of share links, and of the images for other people's pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maicivy.periods import Period
from maicivy.reports.timeseries import Metric
from maicivy.storage.grants import LABEL, MAX_DAYS, MAX_NAME_LENGTH, MAX_VIEW_LENGTH, VIEW
from maicivy.web import schemas, schemas_events
from maicivy.web.access import COOKIE_NAME, LOGIN, LOGOUT, MAX_NEXT_LENGTH, Reader
from maicivy.web.badge import KEPT_SECONDS, MAX_LABEL_LENGTH, STYLES, Number
from maicivy.web.chart import MAX_DAYS as MAX_CHART_DAYS
from maicivy.web.chart import MIN_DAYS, USUAL_DAYS
from maicivy.web.login import FORM_TYPE
from maicivy.web.middleware import ANALYTICS
from maicivy.web.openapi_parts import answered, errors, json_answer, query
from maicivy.web.shares import JSON_TYPE
from maicivy.web.shares import USUAL_DAYS as USUAL_SHARE_DAYS

if TYPE_CHECKING:
    from collections.abc import Collection

    from maicivy.web.schemas import Json

Operations = frozenset[tuple[str, str]]

SCHEMES: Json = {
    "login": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE_NAME,
        "description": "The session of who logged in at `/login`, or follows a share link.",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of the operator's, made by `run.py token create`.",
    },
}
_PAGE: Json = {"text/html": {"schema": schemas.STRING}}
_SVG: Json = {"image/svg+xml": {"schema": schemas.STRING}}
_INSTANT: Json = {"type": "string", "format": "date-time"}
_MAYBE_INSTANT: Json = {"type": ["string", "null"], "format": "date-time"}
_LABEL: Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_LABEL_LENGTH,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f\ufffe\uffff]*$",
}
_SHARE = schemas.object_of(
    id={"type": "string", "format": "uuid"},
    name=schemas.STRING,
    view=schemas.STRING | {"description": "The query of the dashboard that it opens."},
    created_at=_INSTANT,
    expires_at=_MAYBE_INSTANT,
    last_used_at=_MAYBE_INSTANT | {"description": "To the hour."},
)
_NEW_SHARE = schemas.object_of(
    **_SHARE["properties"],
    url=schemas.STRING | {"description": "The link. It is told now and never again."},
)


def access() -> Json:
    """Describe who reads, share links and images: what is there with and without a password."""
    return {
        f"{ANALYTICS}/reader": {"get": _reader()},
        f"{ANALYTICS}/shares": {"get": _shares(), "post": _share()},
        f"{ANALYTICS}/shares/{{id}}": {"delete": _unshare()},
        "/share/{secret}": {"get": _follow()},
        "/badge/{metric}.svg": {"get": _badge()},
        "/embed/chart.svg": {"get": _chart()},
    }


def login() -> Json:
    """Describe the way in, which is there only with a password."""
    return {LOGIN: {"get": _form(), "post": _log_in()}, LOGOUT: {"post": _log_out()}}


def protect(paths: Json, protected: Collection[tuple[str, str]]) -> None:
    """Add to each operation of `protected` (path and method) what it asks for."""
    for path, method in protected:
        operation = paths[path][method]
        refused = json_answer("Nobody is logged in.", schemas.error_of("login_required"))
        refused["headers"]["WWW-Authenticate"] = {"schema": schemas.STRING, "required": True}
        asked = {
            "security": [{name: []} for name in SCHEMES],
            "responses": operation["responses"] | {"401": refused},
        }
        # a copy, for parts of a description without a password may be shared with this one
        paths[path] = paths[path] | {method: operation | asked}


def _reader() -> Json:
    data = schemas.object_of(
        reader={"enum": [reader.value for reader in Reader]},
        password={"type": "boolean", "description": "Whether this installation has one."},
    )
    return _operation(
        "access",
        "get_reader",
        "As whom this request reads",
        {"200": json_answer("The reader.", schemas.answer(data), ["Cache-Control"])},
    )


def _shares() -> Json:
    found = schemas.answer(schemas.list_of(_SHARE))
    return _operation(
        "access",
        "get_shares",
        "The share links that are good",
        {"200": json_answer("The links.", found, ["Cache-Control"])}
        | errors({403: ["no_password", "read_only"], 503: ["unavailable"]}),
    )


def _share() -> Json:
    days = {"type": "integer", "minimum": 1, "maximum": MAX_DAYS, "default": USUAL_SHARE_DAYS}
    name = {"type": ["string", "null"], "maxLength": MAX_NAME_LENGTH, "pattern": f"^{LABEL}$"}
    view = {"type": ["string", "null"], "maxLength": MAX_VIEW_LENGTH, "pattern": f"^{VIEW}$"}
    body = schemas_events.any_object(schemas.ref("Level2")) | {
        "description": "Fields that are not listed are ignored.",
        "properties": {"days": days, "name": name, "view": view},
    }
    told = json_answer("The link.", schemas.answer(_NEW_SHARE), ["Cache-Control"])
    described = _operation(
        "access",
        "post_shares",
        "Make a share link",
        {"201": told}
        | errors(
            {
                400: ["invalid_json", "invalid_body", "invalid_field"],
                403: ["no_password", "read_only", "origin_not_allowed"],
                408: ["request_timeout"],
                409: ["too_many_shares"],
                413: ["body_too_large"],
                415: ["unsupported_media_type", "unsupported_charset", "unsupported_coding"],
                503: ["unavailable"],
            }
        ),
    )
    content = {"required": True, "content": {JSON_TYPE: {"schema": body}}}
    return described | {
        "description": "Whoever has it reads everything until it expires, and administers nothing.",
        "requestBody": content,
    }


def _unshare() -> Json:
    data = schemas.object_of(revoked={"type": "string", "format": "uuid"})
    described = _operation(
        "access",
        "delete_share",
        "Revoke a share link",
        {"200": json_answer("It is over.", schemas.answer(data), ["Cache-Control"])}
        | errors(
            {
                403: ["no_password", "read_only", "origin_not_allowed"],
                404: ["not_found"],
                503: ["unavailable"],
            }
        ),
    )
    return described | {"parameters": [_in_path("id", {"type": "string", "format": "uuid"})]}


def _follow() -> Json:
    gone = answered("It is not good, or no longer.", _PAGE | _problem("not_found"))
    described = _operation(
        "access",
        "get_share",
        "Follow a share link",
        {
            "303": answered("To the dashboard.", headers=["Location", "Set-Cookie"]),
            "404": gone,
        }
        | errors({503: ["unavailable"]}),
    )
    secret = {"type": "string", "pattern": "^mcs_[A-Za-z0-9_-]+$"}
    return described | {"parameters": [_in_path("secret", secret)]}


def _badge() -> Json:
    periods = {"type": "string", "enum": list(Period), "default": Period.MONTH.value}
    styles = {"type": "string", "enum": list(STYLES), "default": STYLES[0]}
    described = _operation(
        "images",
        "get_badge",
        "A number of `/stats` as a badge",
        {"200": _image()}
        | errors({400: ["invalid_parameter"], 404: ["not_found"], 503: ["unavailable"]}),
    )
    return described | {
        "parameters": [
            _in_path("metric", {"type": "string", "enum": list(Number)}),
            query("period", periods, "The open day, ISO week or month."),
            query("label", _LABEL, "What stands before the number."),
            query("style", styles, "Round or square corners."),
        ]
    }


def _chart() -> Json:
    metrics = {"type": "string", "enum": list(Metric), "default": Metric.VISITORS.value}
    days = {
        "type": "integer",
        "minimum": MIN_DAYS,
        "maximum": MAX_CHART_DAYS,
        "default": USUAL_DAYS,
    }
    described = _operation(
        "images",
        "get_chart",
        "The last days as a small chart",
        {"200": _image()} | errors({400: ["invalid_parameter"], 503: ["unavailable", "busy"]}),
    )
    return described | {
        "parameters": [
            query("metric", metrics, "What is counted."),
            query("days", days, "How many days, today included."),
            query("label", _LABEL, "The title."),
        ]
    }


def _form() -> Json:
    described = _operation(
        "access",
        "get_login",
        "The login page",
        {
            "200": answered("The page.", _PAGE, ["Content-Security-Policy", "Cache-Control"]),
            "303": answered("To `next`: somebody is logged in.", headers=["Location"]),
        }
        | errors({400: ["invalid_parameter"], 503: ["unavailable"]}),
    )
    text = "A path of this server's own; another one leads to the dashboard."
    return described | {"parameters": [query("next", schemas.STRING, text)]}


def _log_in() -> Json:
    form = {
        "type": "object",
        "required": ["password"],
        "properties": {
            "password": {"type": "string", "format": "password"},
            "next": {"type": "string", "maxLength": MAX_NEXT_LENGTH},
        },
    }
    described = _operation(
        "access",
        "post_login",
        "Log in",
        {"303": answered("To `next`.", headers=["Location", "Set-Cookie"])}
        | errors(
            {
                400: ["invalid_form"],
                408: ["request_timeout"],
                413: ["body_too_large"],
                415: ["unsupported_media_type", "unsupported_charset", "unsupported_coding"],
            }
        )
        | {
            "403": answered("Not the password.", _PAGE | _problem("origin_not_allowed")),
            "429": answered("Too many attempts.", _PAGE, ["Retry-After"]),
            "503": answered("Try again soon.", _PAGE, ["Retry-After"]),
        },
    )
    return described | {
        "requestBody": {"required": True, "content": {FORM_TYPE: {"schema": form}}},
    }


def _log_out() -> Json:
    return _operation(
        "access",
        "post_logout",
        "Log out",
        {"303": answered("To the login.", headers=["Location", "Set-Cookie"])}
        | errors({403: ["origin_not_allowed"]}),
    )


def _image() -> Json:
    headers = {
        "Cache-Control": {
            "description": f"Kept for {KEPT_SECONDS} s; by the reader alone behind a password.",
            "schema": {"type": "string", "pattern": f"^(public|private), max-age={KEPT_SECONDS}$"},
            "required": True,
        },
        "Cross-Origin-Resource-Policy": {
            "description": "Every page may show it.",
            "schema": {"const": "cross-origin"},
            "required": True,
        },
    }
    image = answered("The image.", _SVG, ["Content-Security-Policy"])
    image["headers"] |= headers
    return image


def _problem(code: str) -> Json:
    return {"application/json": {"schema": schemas.error_of(code)}}


def _in_path(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _operation(tag: str, name: str, summary: str, responses: Json) -> Json:
    return {"tags": [tag], "summary": summary, "operationId": name, "responses": responses}
