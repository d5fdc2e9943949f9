"""What a measurement gives: values of several rounds, beside a baseline in the same rounds."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured once a round.

    `baseline` has what was measured beside it in the same rounds, in the same unit. `promise` says
    what is promised of the ratio, or of the value where there is no baseline.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    baseline_name: str = ""
    baseline: tuple[float, ...] = ()
    promise: str = ""

    @property
    def median(self) -> float:
        """The median of all rounds."""
        return statistics.median(self.values)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Each round's value divided by the same round's baseline."""
        return tuple(a / b for a, b in zip(self.values, self.baseline, strict=False) if b)

    def as_json(self) -> dict[str, Any]:
        """Return what is kept of it."""
        return asdict(self)


def spread(values: tuple[float, ...]) -> str:
    """Return the range of `values`."""
    return f"{short(min(values))} to {short(max(values))}"


def short(value: float) -> str:
    """Return three digits or so of a number."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of `values` lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
