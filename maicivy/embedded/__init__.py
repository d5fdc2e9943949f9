"""A real PostgreSQL and a real Redis, started and stopped with the program.

Their binaries come from Python wheels or from the machine; their data stay in the data folder.
"""

from __future__ import annotations

from maicivy.embedded.servers import EmbeddedServers, attach_or_start, start

__all__ = ["EmbeddedServers", "attach_or_start", "start"]
