"""Ending tasks for certain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

SOON: Final = 0.2


async def end_tasks(tasks: Iterable[asyncio.Task[Any]], *, again: float = SOON) -> None:
    """Cancels tasks and returns when they have ended.

    A cancellation can get lost: `asyncio.wait_for` before Python 3.12 drops one that arrives together with the result
    it waits for, and the Redis client sends through it. So it is repeated.

    Args:
        again: seconds after which a task that goes on is cancelled once more.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=again)
