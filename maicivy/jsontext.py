"""Writing JSON: by orjson where it is installed (the extra `speed`), else by the standard library.

Both write the same value; only the spaces between its parts differ.
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


encode: Callable[[Any], bytes] = standard
try:
    from orjson import dumps
except ImportError:  # pragma: no cover - the tests install it
    pass
else:
    encode = dumps


def encode_text(value: Any) -> str:
    """Return `value` as JSON text."""
    return encode(value).decode()
