"""The epoch: what the marker in Redis says of the copy there. All pure.

`<database>:<generation>:<run>` marks a whole copy: of which database, after how many visitors of
it were forgotten, and made in which run of the Redis server. With one more part it marks a copy
that somebody is filling. No marker at all: nobody vouches for anything.
"""

from __future__ import annotations

import uuid

_WHOLE_PARTS = 3


def whole(database_id: str, generation: int, run_id: str) -> bytes:
    """Return the marker of a copy that can be relied on."""
    return f"{database_id}:{generation}:{run_id}".encode()


def filling(epoch: bytes) -> bytes:
    """Return a marker, like no other, of a copy that is on its way to `epoch`."""
    return epoch + b":" + uuid.uuid4().hex.encode()


def same_database(found: bytes | None, expected: bytes) -> bool:
    """Say whether what is there may stay: no marker, or one of the same database."""
    return found is None or found.split(b":")[0] == expected.split(b":")[0]


def same_generation(found: bytes | None, expected: bytes) -> bool:
    """Say whether `found` marks a whole copy that holds nobody who was forgotten since."""
    if found is None:
        return False
    parts = found.split(b":")
    return len(parts) == _WHOLE_PARTS and parts[:2] == expected.split(b":")[:2]


def strayed(found: bytes | None, believed: bytes | None) -> bool:
    """Say whether a write that was decided under `believed` went into a copy of another generation.

    It may have put somebody back who is forgotten. Where there is no marker the visitors are
    deleted and filled in again before there is one.
    """
    if found is None:
        return False
    return believed is None or found.split(b":")[1:2] != believed.split(b":")[1:2]
