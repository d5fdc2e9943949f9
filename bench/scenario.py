"""One measurement: its name, what it is about, and what runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from bench.figures import Figure


@dataclass(frozen=True, slots=True)
class Scenario:
    """`measure` starts everything it needs and returns its figures after so many rounds."""

    name: str
    title: str
    measure: Callable[[int], Coroutine[Any, Any, list[Figure]]]
