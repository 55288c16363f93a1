"""Work that many ask for at once, done in rounds: each round serves all who had come before it began."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class _Round(Generic[T]):
    """What a round has come to: a value, an error, or nothing yet."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self.error: Exception | None = None


class _Line(Generic[T]):
    """Who waits for one key."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.next: _Round[T] = _Round()
        self.waiting = 0


class Rounds(Generic[T]):
    """Calls of this process, by key.

    Nobody gets what was found before they came: who comes while a round is under way waits for the next one. That is
    what tells it from joining a call that has begun.

    Example:
        >>> await rounds.run("token", look)                                                   # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line[T]] = {}

    async def run(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives or raises, called once for all of a round; by another of them where its caller is
        cancelled.
        """
        line = self._lines.setdefault(key, _Line())
        mine = line.next
        line.waiting += 1
        try:
            async with line.turn:
                if not mine.values and mine.error is None:
                    line.next = _Round()
                    try:
                        mine.values.append(await work())
                    except Exception as error:  # noqa: BLE001 - raised again for each of the round
                        mine.error = error
        finally:
            line.waiting -= 1
            if not line.waiting:
                del self._lines[key]
        if mine.error is not None:
            raise mine.error
        return mine.values[0]
