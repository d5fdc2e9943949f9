"""`make tracker`: make the small file of the tracker's source; with `--print`, show it instead."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import minify

FOLDER = Path(__file__).parents[1] / "maicivy" / "web" / "static" / "tracker"


def minified() -> str:
    """Return the small form of the source: shorter names, no comments, `let` for `const`."""
    source = (FOLDER / "maicivy.src.js").read_text(encoding="utf-8")
    small: str = minify.string("application/javascript", source)
    return re.sub(r"\bconst\b(?=[ {[])", "let", small)


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        sys.stdout.write(minified())
    else:
        (FOLDER / "maicivy.js").write_text(minified(), encoding="utf-8")
