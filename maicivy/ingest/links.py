"""What a click on a link was, as the tracker tells it: where the link leads, and nothing decided.

The tracker has to be small, and browsers keep an old one for a while; so what counts as a file, and
what as another site, is told here. All pure.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from maicivy.ingest.urls import without_query

CLICK = "click"
# What is fetched and not read in the browser, and what the browser shows though it is a document.
_FILE = re.compile(
    r"\.(?:pdf|zip|t?gz|bz2|t?xz|7z|rar|exe|msi|dmg|pkg|deb|rpm|apk|iso|docx?|xlsx?|pptx?|od[tsp]"
    r"|rtf|csv|txt|epub|ics|mp[34]|wav|flac|ogg|avi|mov|mkv|webm)",
    re.IGNORECASE,
)


def name_click(
    data: dict[str, Any], page_url: str | None, own_hosts: frozenset[str]
) -> tuple[str, dict[str, Any]]:
    """Return the event type and the data of a click whose data has an `href`.

    `pdf_download` and `file_download` keep the address, without query and fragment; `link_click`,
    which leads to another host than `page_url`'s, too. All other clicks are clicks and forget it.
    """
    told = {key: value for key, value in data.items() if key != "href"}
    if told.get("x") == 0 and told.get("y") == 0:
        # that is where browsers place what was clicked with the keyboard
        del told["x"], told["y"]
    href, host, path = _parts(data["href"])
    if not host:
        return CLICK, told
    file = _FILE.fullmatch(path[path.rfind(".") :]) if "." in path else None
    if file:
        is_pdf = file[0].lower() == ".pdf"
        return "pdf_download" if is_pdf else "file_download", told | {"href": href}
    _, page_host, _ = _parts(page_url)
    if host in ({page_host} if page_host else own_hosts):
        return CLICK, told
    return "link_click", told | {"href": href, "kind": "outbound"}


def _parts(url: Any) -> tuple[str, str, str]:
    """Return an address without query and fragment, its host and its path; empty if it is none."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in {"http", "https"}:
        return "", "", ""
    return without_query(url), parts.netloc.rpartition("@")[2].lower(), parts.path
