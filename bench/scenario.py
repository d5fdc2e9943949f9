"""One measurement: its name, what it is about, and what runs it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.figures import Figure


@dataclass(frozen=True, slots=True)
class Scenario:
    """`measure` starts everything it needs and returns its figures after so many rounds."""

    name: str
    title: str
    measure: Callable[[int], Awaitable[list[Figure]]]
