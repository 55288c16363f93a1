"""Where acts wait in Redis until the chain has them: whoever acts does not wait for the database."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio import Redis

logger = logging.getLogger("runtime.audit")


class Waiting(NamedTuple):
    """An entry that waits, and where."""

    position: bytes
    entry: dict[str, Any]


class Spool:
    """A line of entries in a stream of Redis that all instances share.

    Args:
        client: of Redis.
        prefix: of the environment's keys.
    """

    def __init__(self, client: Redis, prefix: str) -> None:
        self._client = client
        self._key = f"{prefix}audit"

    async def add(self, entry: Mapping[str, Any]) -> None:
        """Appends an entry; when it returns, the entry is kept."""
        await self._client.xadd(self._key, {"entry": json.dumps(entry)})

    async def first(self, most: int) -> list[Waiting]:
        """The oldest entries that wait."""
        waiting, torn = [], []
        for position, fields in await self._client.xrange(self._key, count=most):
            try:
                waiting.append(Waiting(position, dict(json.loads(fields[b"entry"]))))
            except (KeyError, TypeError, ValueError):
                torn.append(position)
        if torn:
            logger.error("%d entries of the audit trail that wait in Redis are none of ours, and dropped", len(torn))
            await self._client.xdel(self._key, *torn)
        return waiting

    async def remove(self, waiting: Sequence[Waiting]) -> None:
        """Takes out entries that the chain has."""
        await self._client.xdel(self._key, *[each.position for each in waiting])

    async def length(self) -> int:
        """How many wait."""
        return int(await self._client.xlen(self._key))
