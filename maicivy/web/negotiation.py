"""What a client says of the answers that it takes, and of those that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs

if TYPE_CHECKING:
    from aiohttp import web

_REFUSED = frozenset({"q=0", "q=0.0", "q=0.00", "q=0.000"})


def takes_gzip(request: web.Request) -> bool:
    """Say whether the client takes gzip; a weight of nought is a no."""
    offers = request.headers.get(hdrs.ACCEPT_ENCODING, "").lower().split(",")
    weights = {
        name.strip(): weight.replace(" ", "")
        for name, _, weight in (offer.partition(";") for offer in offers)
    }
    weight = weights.get("gzip", weights.get("*"))
    return weight is not None and weight not in _REFUSED


def has_already(request: web.Request, etag: str) -> bool:
    """Say whether `If-None-Match` names a quoted, perhaps weak tag.

    Compared weakly, as RFC 9110, 13.1.2, asks, for a proxy that compresses weakens the tag.
    """
    names = request.if_none_match or ()
    strong = etag.removeprefix("W/")
    return any(f'"{name.value}"' == strong or name.value == "*" for name in names)
