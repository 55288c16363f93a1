"""The environment's Redis: one interface, two back-ends.

`EmbeddedRedis(folder)` runs a server, `RemoteRedis(url)` uses one. Whoever needs it asks for a `Redis`.
"""

from __future__ import annotations

from runtime.storage.connection import Redis
from runtime.storage.embedded import EmbeddedRedis
from runtime.storage.remote import RemoteRedis

__all__ = ["EmbeddedRedis", "Redis", "RemoteRedis"]
