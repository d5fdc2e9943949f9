"""Writing JSON: by orjson where it is installed (the extra `speed`), else by the standard library.

Both write the same value; only the spaces between its parts differ. What orjson would write itself
is read by it, too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False)


def standard(value: Any) -> bytes:
    """Return `value` as JSON in UTF-8, by the standard library."""
    return _ENCODER.encode(value).encode()


def _unread(_: bytes) -> Any:
    """Return None: the standard library is no faster than the strict reader of bodies."""


encode: Callable[[Any], bytes] = standard
read_exact: Callable[[bytes], Any] = _unread
try:
    from orjson import OPT_STRICT_INTEGER, JSONDecodeError, JSONEncodeError, dumps, loads
except ImportError:  # pragma: no cover - the tests install it
    pass
else:

    def _read_exact(text: bytes) -> Any:
        """Return the value of `text` if it is written, byte for byte, as `encode` writes it.

        So no key stands twice in an object, which would be shorter, and integers are below 2^53.
        None for all other texts, JSON or not.
        """
        try:
            value = loads(text)
            return value if dumps(value, option=OPT_STRICT_INTEGER) == text else None
        except (JSONDecodeError, JSONEncodeError):
            return None

    encode, read_exact = dumps, _read_exact


def encode_text(value: Any) -> str:
    """Return `value` as JSON text."""
    return encode(value).decode()
