"""The figures that have a baseline, drawn beside what is promised (needs the extra `docs`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import Figure, short

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = Path(__file__).resolve().parents[1] / "docs" / "images" / "performance.png"
INK, BAR, MARK = "#1f2933", "#2f6f8f", "#c8553d"


def draw(figures: Sequence[Figure]) -> bool:
    """Draw the ratios of `figures` to their baselines; False without the library."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    shown = [figure for figure in figures if figure.ratios]
    names = [
        f"{figure.name.replace('`', '')}\nto {figure.baseline_name}; promised: {figure.promise}"
        for figure in shown
    ]
    middles = [Figure("", "", figure.ratios).median for figure in shown]
    plane, axes = plt.subplots(figsize=(9, 0.62 * len(shown) + 1.2), dpi=110)
    places = range(len(shown))
    axes.barh(places, middles, color=BAR, height=0.55)
    for place, figure in zip(places, shown, strict=True):
        axes.plot([min(figure.ratios), max(figure.ratios)], [place, place], color=INK, lw=1.2)
        axes.text(max(figure.ratios) * 1.04, place, short(middles[place]), va="center", size=8)
        if found := re.search(r"[\d.]+", figure.promise.replace(",", "")):
            axes.plot([float(found[0])] * 2, [place - 0.35, place + 0.35], color=MARK, lw=2)
    axes.set_yticks(list(places), names, size=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(0.1, 12)
    axes.set_xlabel("ratio to the baseline of the same rounds (line: range; red: promised)", size=9)
    axes.spines[["top", "right"]].set_visible(False)
    plane.tight_layout()
    plane.savefig(FILE)
    plt.close(plane)
    return True
