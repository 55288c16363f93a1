"""The platform's own events: what happens in the environment itself, published where a spec declares the type.

Telling costs a look into a dictionary where no stream has the type, and never holds up whoever tells: what is told
waits in a bounded line until the bus has taken it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.services.events.ports import Events
    from runtime.services.events.spec import EventsSpec

logger = logging.getLogger("runtime.events")

WAITING: Final = 500
"""Events that wait for the bus; of more than that the oldest are dropped, and their number is logged."""
REFUSALS: Final = 60
"""Refused sign-ins that are told in a minute; the next one after that says how many were left out."""
MINUTE: Final = 60.0
PAUSE: Final = 1.0


class PlatformEvents:
    """Publishes the platform's own events; implements the port `Platform`.

    Args:
        spec: the `events` section: a type is told to each stream that declares it.
        events: the bus.

    Example:
        >>> platform.scaled("email", before=1, after=4)                                       # doctest: +SKIP
    """

    def __init__(self, spec: EventsSpec, events: Events) -> None:
        self._events = events
        self._streams: dict[str, list[str]] = {}
        for stream, declared in spec.streams.items():
            for kind in declared.events:
                self._streams.setdefault(kind, []).append(stream)
        self._line: deque[tuple[str, str, Mapping[str, Any], str | None]] = deque()
        self._dropped = 0
        self._grown = asyncio.Event()
        self._refusals = (0.0, 0, 0)

    def streams(self, type_: str) -> Sequence[str]:
        """The streams that declare a type."""
        return self._streams.get(type_, ())

    def wants(self, type_: str) -> bool:
        """Whether any stream declares a type: what is costly to find out need not be, where none does."""
        return type_ in self._streams

    def health_changed(self, component: str, *, before: str | None, status: str, reason: str) -> None:
        about = {"component": component, "before": before, "status": status, "reason": reason}
        self._tell("service.health", about, component)

    def scaled(self, queue: str, *, before: int, after: int, reason: str) -> None:
        self._tell("workers.scaled", {"queue": queue, "before": before, "after": after, "reason": reason}, queue)

    def job_runs_long(self, job: str, queue: str, *, owner: str | None, ran: float, step: str) -> None:
        about = {"job": job, "queue": queue, "owner": owner, "ran_seconds": round(ran, 1), "step": step}
        self._tell("job.long_running", about, job)

    def job_ended(self, job: str, queue: str, *, status: str, error: str | None = None) -> None:
        self._tell(f"job.{status}", {"job": job, "queue": queue, "error": error}, job)

    def preferences_changed(self, user: str, *, by: str, category: str | None) -> None:
        self._tell("preferences.changed", {"user": user, "by": by, "category": category}, user[:200])

    def delivery_ended(
        self, delivery: str, notification: str, recipient: str, *, kind: str, status: str, reason: str
    ) -> None:
        about = {"notification": notification, "delivery": delivery, "recipient": recipient}
        self._tell(f"notification.{status}", {**about, "kind": kind, "reason": reason}, recipient[:200])

    def sign_in_refused(self, address: str, *, method: str, reason: str) -> None:
        """A flood of refusals is told in part, with the number of those that were left out."""
        began, told, left_out = self._refusals
        now = time.monotonic()
        if now - began >= MINUTE:
            began, told = now, 0
        if told >= REFUSALS:
            self._refusals = (began, told, left_out + 1)
            return
        self._refusals = (began, told + 1, 0)
        about = {"address": address, "method": method, "reason": reason, "left_out": left_out}
        self._tell("login.failed", about, address[:200])

    def _tell(self, type_: str, data: Mapping[str, Any], key: str | None) -> None:
        for stream in self._streams.get(type_, ()):
            if len(self._line) >= WAITING:
                self._line.popleft()
                self._dropped += 1
            self._line.append((stream, type_, data, key))
            self._grown.set()

    async def run(self) -> None:
        """Publishes what is told, in order; waits for a bus that does not answer."""
        while True:
            while not self._line:
                self._grown.clear()
                await self._grown.wait()
            first = self._line[0]
            stream, type_, data, key = first
            try:
                await self._events.publish(stream, type_, data, key=key)
            except Unreachable:
                await asyncio.sleep(PAUSE)
                continue
            except Fault as fault:  # the user's schema for one of our types
                logger.warning("%s could not be published to %s: %s", type_, stream, fault.message)
            if self._line and self._line[0] is first:
                self._line.popleft()
            if self._dropped:
                logger.warning("%d events of the platform were dropped while the bus was away", self._dropped)
                self._dropped = 0
