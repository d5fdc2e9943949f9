"""Whether a run of letters, digits and the few marks of tokens is a secret. All pure."""

from __future__ import annotations

import re

_UUID = re.compile(
    r"(?<![0-9a-zA-Z])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-zA-Z])", re.IGNORECASE
)
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:[spr]k_(?:live|test)_\w{6,}|whsec_\w{8,}"
    r"|sk-[\w-]{16,}|gh[pousr]_\w{12,}|github_pat_\w{12,}|glpat-[\w-]{12,}|(?:AKIA|ASIA)[0-9A-Z]{12,}"
    r"|xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,}|AIza[\w-]{20,}|ya29\.[\w-]{8,}|GOCSPX-[\w-]{8,}"
    r"|SG\.[\w-]{8,}\.[\w-]{8,}|npm_\w{16,}|pypi-[\w-]{16,}|hf_\w{16,}|dop_v1_\w{16,}"
    r"|shp(?:at|ca|pa|ss)_\w{16,}|(?:AC|SK)[0-9a-f]{32}|EAA[A-Za-z0-9]{20,})"
)
# Random letters and digits change class (lower, upper, digit) at every second or third character;
# words, paths and slugs seldom do. So many changes within so many characters are a secret.
SECRET_LENGTH = 32
SECRET_CHANGES = 7
SECRET_CHANGES_WITHOUT_DIGIT = 10
_CHANGE = re.compile(r"[a-z](?=[A-Z0-9])|[A-Z](?=[0-9])|[0-9](?=[A-Za-z])|[A-Z]{2}(?=[a-z])")
# No word is so long and has two digits in it, or is made of a to f only.
_UNBROKEN = re.compile(
    r"[0-9a-fA-F]{32}|(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9][A-Za-z]*[0-9])[A-Za-z0-9]{32}"
)


def is_secret(text: str) -> bool:
    """Say whether a run is a token that can be told by its beginning, a JWT, or random."""
    return bool(
        _is_jwt(text)
        or _TOKEN.search(text)
        or any(map(_is_random, _UUID.sub(".", text).split(".")))
    )


def _is_jwt(text: str) -> bool:
    """Say whether a base64 "{" and a point follow each other; a pattern would look too often."""
    _, begins, rest = text.partition("eyJ")
    return bool(begins) and "." in rest[5:]


def _is_random(text: str) -> bool:
    if len(text) < SECRET_LENGTH:
        return False
    if _UNBROKEN.search(text):
        return True
    has_digit = any(map(str.isdecimal, text))
    least = SECRET_CHANGES if has_digit else SECRET_CHANGES_WITHOUT_DIGIT
    changes = [found.start() for found in _CHANGE.finditer(text)]
    return any(
        last - first < SECRET_LENGTH
        for first, last in zip(changes, changes[least - 1 :], strict=False)
    )
