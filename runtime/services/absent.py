"""What stands in for a part of the spec that this version declares and does not run."""

from __future__ import annotations

from runtime.errors import NotBuilt
from runtime.health import Health


class Absent:
    """A component that does nothing and says so.

    Args:
        what: the part, as the user knows it: `the handler "sandbox.execute"`.

    Example:
        >>> Absent("ai").reason
        'ai is not built in this version'
    """

    def __init__(self, what: str) -> None:
        self.reason = NotBuilt(what).message

    async def start(self) -> None:
        """Nothing starts."""

    async def stop(self) -> None:
        """Nothing runs."""

    async def health(self) -> Health:
        return Health("not built", self.reason)
