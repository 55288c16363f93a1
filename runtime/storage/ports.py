"""What services may use of the storage, without knowing which back-end it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Cache(Protocol):
    """Shared state with a life span, over Redis (all instances) or memory (this process).

    Values are bytes; every key has a time to live, in seconds.
    """

    async def get(self, key: str) -> bytes | None: ...

    async def set(self, key: str, value: bytes, *, ttl: float) -> None: ...

    async def add(self, key: str, value: bytes, *, ttl: float) -> bool:
        """Sets the key only where it is not set; returns whether it did."""
        ...

    async def delete(self, key: str) -> None: ...

    async def get_or_compute(self, key: str, compute: Callable[[], Awaitable[bytes]], *, ttl: float) -> bytes:
        """The cached value, or the computed one; of several callers at once only one computes."""
        ...
