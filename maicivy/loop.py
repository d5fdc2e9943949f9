"""The event loop: uvloop's where it is installed (the extra `speed`), else asyncio's own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run
try:
    from uvloop import run as fast
except ImportError:  # pragma: no cover - the tests install it
    pass
else:
    run = fast
