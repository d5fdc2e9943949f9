"""`python -m bench [seconds]`: run the measurements and print their figures as JSON."""

from __future__ import annotations

import json
import sys

from bench import feed

if __name__ == "__main__":
    print(json.dumps({"feed": feed.main(float(sys.argv[1]) if sys.argv[1:] else 120)}, indent=2))
