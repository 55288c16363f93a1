"""Of several who want the same result at once, one works and the others wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class _Flight:
    def __init__(self) -> None:
        self.landed = anyio.Event()
        self.value: bytes | None = None
        self.error: Exception | None = None


class SingleFlight:
    """Calls under way in this process, by key.

    What the one gets, a value or an exception, all get. Where its caller is cancelled, one of the others
    takes over.
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight] = {}

    async def run(self, key: str, work: Callable[[], Awaitable[bytes]]) -> bytes:
        """The result of `work`, or of another's call for the same key that was under way already."""
        while (flight := self._flights.get(key)) is not None:
            await flight.landed.wait()
            if flight.error is not None:
                raise flight.error
            if flight.value is not None:
                return flight.value
        flight = self._flights[key] = _Flight()
        try:
            flight.value = await work()
        except Exception as error:
            flight.error = error
            raise
        finally:
            del self._flights[key]
            flight.landed.set()
        return flight.value
