"""Coverage-guided search for a body that is neither stored nor refused: `make fuzz`.

The arguments are libFuzzer's: `python -m tests.fuzz.fuzz_body -max_total_time=60 [corpus folder]`.
A find is written to `crash-…` and can be given back as the only argument.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["maicivy.ingest", "json"]):
    from tests.storable import check_body

# A first byte below this stands for a request with a Referer header, the length of which it is.
MAX_REFERER_BYTES = 64


def try_bytes(data: bytes) -> None:
    """Take `data` for a body, or for a `Referer` header and a body."""
    length = data[0] if data else 0
    if length < MAX_REFERER_BYTES:
        referer = data[1 : length + 1].decode("utf-8", "surrogateescape")
        check_body(data[length + 1 :], referer)
    else:
        check_body(data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_bytes)
    atheris.Fuzz()
