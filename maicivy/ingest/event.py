"""One event: checked, normalised and redacted, ready to be stored. All pure."""

from __future__ import annotations

import re
from functools import lru_cache
from json.encoder import encode_basestring_ascii as json_text
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from maicivy.errors import InvalidRequest
from maicivy.ingest.links import CLICK, name_click
from maicivy.ingest.redact import redact_data, redact_url, redact_value
from maicivy.ingest.urls import own_path, without_query
from maicivy.jsontext import encode_text
from maicivy.periods import EventIds

if TYPE_CHECKING:
    from maicivy.ingest.urls import QueryParameters
    from maicivy.ingest.visitor import Visitor
    from maicivy.periods import Moment

MAX_URL_LENGTH = 500
MAX_SESSION_DURATION = 2**31 - 1
LETTER_TYPES = ("motivation", "anti_motivation")
EVENT_TYPE = r"[A-Za-z][A-Za-z0-9_.:-]{0,49}"
EVENT_ID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
THEME = r"[a-z0-9][a-z0-9_-]{0,49}"
# A path, or a URL that leads to a page and not to a script; browsers skip spaces in front, and read
# a backslash as a slash. Two slashes would lead to another host.
URL = (
    r"^(?! *[/\\]{2})(?:(?! *[A-Za-z][A-Za-z0-9+.-]*:)| *(?:[Hh][Tt][Tt][Pp][Ss]?|android-app)://)"
    r"[^\x00-\x1f\x7f]*$"
)

_EVENT_TYPE = re.compile(EVENT_TYPE)
_EVENT_ID = re.compile(EVENT_ID)
_THEME = re.compile(THEME)
_URL = re.compile(URL)
# What is left of header bytes that are no UTF-8; PostgreSQL takes no text that holds it.
_UNDECODED = re.compile(r"[\ud800-\udfff]")
_IDS = EventIds()
PAGE_VIEW, PAGE_LOAD = "page_view", "page_load"
_SAME_AS = {
    PAGE_LOAD: PAGE_VIEW,
    "cv_theme_selected": "cv_theme_change",
    "letter_generated": "letter_generate",
    "pdf_downloaded": "pdf_download",
}


class Fields(NamedTuple):
    """What a client said of an event, checked, normalised and redacted.

    `theme` is the theme that the event is a view of, if it is one and the theme can be ranked.
    """

    event_type: str
    data: dict[str, Any] | None = None
    page_url: str | None = None
    referrer: str | None = None
    session_duration: int = 0
    letter_type: str | None = None
    event_id: str | None = None
    theme: str | None = None


class Event(NamedTuple):
    """One row of `analytics_events`, and what the rollups count it as.

    Ids are UUIDs as text; `data` is JSON text; `event_id` is the client's own name for it, if it
    gave one. The one timestamp has whole milliseconds, as the id has.
    """

    id: str
    visitor: Visitor
    event_type: str
    data: str | None
    page_url: str | None
    referrer: str | None
    session_duration: int
    moment: Moment
    letter_type: str | None
    theme: str | None
    event_id: str | None

    def message(self) -> str:
        """Return the event as the live feed publishes it (JSON); event types need no escapes."""
        return (
            f'{{"type": "{self.event_type}", "visitor_id": "{self.visitor.public_id}", '
            f'"timestamp": "{self.moment.text}", '
            f'"page_url": {json_text(self.page_url or "")}, "data": {self.data or "{}"}}}'
        )


def check_fields(
    body: dict[str, Any],
    parameters: QueryParameters,
    own_hosts: frozenset[str] = frozenset(),
    referer: str | None = None,
) -> Fields:
    """Return the fields of a `POST /event` body; raises `InvalidRequest` naming the wrong one.

    `parameters` are those that a page URL keeps; `own_hosts` are the hosts whose absolute URLs are
    stored as paths; `referer` is the header that stands in for an absent `referrer`; an empty one
    says that there is none.
    """
    event_type = _event_type(body)
    data = _data(body)
    url, referrer = _url(body, "page_url"), _url(body, "referrer")
    if event_type == CLICK and data and "href" in data:
        event_type, data = name_click(data, url, own_hosts)
    clean = redact_data(data) if data is not None else None
    # by position, and so below: names cost half a microsecond
    return Fields(
        event_type,
        clean,
        _stored_page(url, parameters, own_hosts) if url else None,
        _stored_referrer(referrer, own_hosts)
        if referrer
        else _unsaid_referrer(body, referer, own_hosts),
        _duration(body),
        _letter_type(data or {}) if event_type == "letter_generate" else None,
        _event_id(body),
        viewed_theme(event_type, clean, url),
    )


def page_view(
    path_and_query: str,
    parameters: QueryParameters,
    own_hosts: frozenset[str] = frozenset(),
    referer: str | None = None,
) -> Fields:
    """Return the fields of an automatic page view of `path_and_query`."""
    url = stored_url(path_and_query, parameters)
    data: dict[str, Any] = {"path": path_of(url)}
    theme = _theme_in_url(url)
    if theme:
        data["theme"] = theme
    return Fields(
        "page_view",
        redact_data(data),
        url,
        referer_of(referer, own_hosts),
        theme=viewed_theme("page_view", None, path_and_query),
    )


@lru_cache(maxsize=2048)
def stored_url(url: str, parameters: QueryParameters) -> str:
    """Return a page URL as it is stored: the kept parameters only, and those redacted."""
    return redact_url(parameters.clean(url))[:MAX_URL_LENGTH]


def make_event(fields: Fields, visitor: Visitor, moment: Moment) -> Event:
    """Return the event that `visitor` caused at `moment`."""
    kind, data, page, referrer, duration, letter, event_id, theme = fields
    own_id, text = _IDS.make(moment.milliseconds), None if data is None else encode_text(data)
    return Event(
        own_id, visitor, kind, text, page, referrer, duration, moment, letter, theme, event_id
    )


def is_event_type(text: str) -> bool:
    """Say whether events can have this type."""
    return _EVENT_TYPE.fullmatch(text) is not None


def viewed_theme(event_type: str, data: dict[str, Any] | None, url: str | None) -> str | None:
    """Return the theme that an event is a view of, if it is one and the theme can be ranked.

    `data` is redacted; `url` is the page's whole URL, because a view is one of its theme whether or
    not the parameter is kept.
    """
    url = url or ""
    if event_type != "cv_theme_change" and (event_type != "page_view" or not _is_cv(url)):
        return None
    theme = data.get("theme") if data else None
    return _ranked(theme) if theme else _ranked_in_url(url)


def _ranked(theme: Any) -> str | None:
    theme = theme.lower() if isinstance(theme, str) else ""
    return theme if _THEME.fullmatch(theme) else None


@lru_cache(maxsize=2048)
def _ranked_in_url(url: str) -> str | None:
    return _ranked(redact_value(_theme_in_url(url) or ""))


@lru_cache(maxsize=2048)
def _is_cv(url: str) -> bool:
    return (path_of(url) + "/").startswith("/cv/")


@lru_cache(maxsize=2048)
def path_of(url: str) -> str:
    """Return the path of a page URL, without query and fragment."""
    try:
        return urlsplit(url).path
    except ValueError:
        return url.partition("?")[0]


def referer_of(header: str | None, own_hosts: frozenset[str] = frozenset()) -> str | None:
    """Return a `Referer` header as it is stored; one that is no URL is as good as none."""
    if not header or len(header) > MAX_URL_LENGTH or not _URL.fullmatch(header):
        return None
    if _UNDECODED.search(header):
        return None
    return _stored_referrer(header, own_hosts)


def _unsaid_referrer(
    body: dict[str, Any], referer: str | None, own_hosts: frozenset[str]
) -> str | None:
    return None if body.get("referrer") == "" else referer_of(referer, own_hosts)


def _invalid(field: str, rule: str) -> InvalidRequest:
    return InvalidRequest(f"The field {field} {rule}.", code="invalid_field")


def _event_type(body: dict[str, Any]) -> str:
    value = body.get("event_type")
    if value is None:
        raise InvalidRequest("The field event_type is required.", code="missing_field")
    known = _known_type(value) if isinstance(value, str) else None
    if known is None:
        raise _invalid(
            "event_type",
            "must be 1 to 50 characters: a letter, then letters, digits or any of _ . : -",
        )
    return known


@lru_cache(maxsize=512)
def _known_type(value: str) -> str | None:
    return _SAME_AS.get(value, value) if _EVENT_TYPE.fullmatch(value) else None


def _event_id(body: dict[str, Any]) -> str | None:
    value = body.get("event_id")
    if value is None:
        return None
    if not isinstance(value, str) or not _EVENT_ID.fullmatch(value):
        raise _invalid("event_id", "must be a UUID such as 0190a6f2-7b1c-7def-8a6b-0123456789ab")
    return value.lower()


def _data(body: dict[str, Any]) -> dict[str, Any] | None:
    value = body.get("event_data")
    if value is not None and not isinstance(value, dict):
        raise _invalid("event_data", "must be an object")
    return value


@lru_cache(maxsize=2048)
def _is_url(value: str) -> bool:
    return _URL.fullmatch(value) is not None


def _url(body: dict[str, Any], field: str) -> str | None:
    value = body.get(field)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > MAX_URL_LENGTH:
        raise _invalid(field, f"must be a string of at most {MAX_URL_LENGTH} characters")
    if not _is_url(value):
        raise _invalid(field, "must be a path or an http(s) URL")
    return value


@lru_cache(maxsize=2048)
def _stored_page(url: str, parameters: QueryParameters, own_hosts: frozenset[str]) -> str:
    return own_path(stored_url(url, parameters), own_hosts)


@lru_cache(maxsize=2048)
def _stored_referrer(url: str, own_hosts: frozenset[str]) -> str:
    return own_path(redact_url(without_query(url))[:MAX_URL_LENGTH], own_hosts)


def _duration(body: dict[str, Any]) -> int:
    value = body.get("session_duration")
    if value is None:
        return 0
    # 5.0 is an integer too: JSON has one kind of number
    whole = type(value) is int or (type(value) is float and value.is_integer())
    if not whole or not 0 <= value <= MAX_SESSION_DURATION:
        raise _invalid("session_duration", f"must be an integer from 0 to {MAX_SESSION_DURATION}")
    return int(value)


def _letter_type(data: dict[str, Any]) -> str:
    value = data.get("letter_type", data.get("type"))
    if value not in LETTER_TYPES:
        raise _invalid("event_data.letter_type", f"must be {' or '.join(LETTER_TYPES)}")
    return str(value)


def _theme_in_url(url: str) -> str | None:
    try:
        values = parse_qs(urlsplit(url).query, max_num_fields=50).get("theme")
    except ValueError:
        return None
    return values[0] if values else None
