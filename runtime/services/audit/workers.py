"""The built-in subscriber `audit.record`: every event that it is given becomes one entry."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from runtime.telemetry.audit import SYSTEM, Act

if TYPE_CHECKING:
    from runtime.services.audit.service import AuditTrail
    from runtime.services.events.ports import Event


class Recording:
    """Writes events down.

    An event is known by its stream and its id, so that one which is delivered again, replayed, or given to a second
    subscription is written down once.

    Args:
        trail: where.
    """

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    async def record(self, event: Event) -> None:
        """Writes an event down: its type is the action, its key the target, and who is named by `by` the actor."""
        by = event.data.get("by")
        name = hashlib.blake2b(f"{event.stream}\0{event.id}".encode(), digest_size=16).hexdigest()
        act = Act(
            event.type,
            by if isinstance(by, str) and by else SYSTEM,
            event.key,
            details={"stream": event.stream, "event": event.id, "data": event.data},
            id=name,
            time=event.time,
        )
        await self._trail.keep(act)
