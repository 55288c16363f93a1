"""The cache: shared state with a life span. `RedisCache` for all instances, `MemoryCache` for this process.

Both keep what `runtime.storage.ports.Cache` promises.
"""

from __future__ import annotations

from runtime.storage.adapters.memory import MemoryCache
from runtime.storage.adapters.redis import RedisCache

__all__ = ["MemoryCache", "RedisCache"]
