"""A subscription: calls a subscriber for each event of a stream."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault, NotBuilt
from runtime.health import Health
from runtime.services.away import AWAY
from runtime.services.events.consuming import Consumer, Handler, Terms
from runtime.services.function import TimedOut, call
from runtime.services.retry import pause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.plugins import Mark
    from runtime.services.events.ports import Event
    from runtime.services.events.service import EventBus
    from runtime.services.events.spec import SubscriptionSpec
    from runtime.services.outbox.ports import Inbox, Transaction

logger = logging.getLogger("runtime.events")

DRAIN: Final = 20.0
RECLAIM: Final = 15.0
"""Seconds without a sign of life after which a worker's events are given to another."""

MARGIN: Final = 86_400.0
"""Seconds for which a handled event is remembered after its stream has dropped it: a publisher may send it again."""


class Subscription:
    """Gives every event of a stream to one subscriber.

    Args:
        name: the subscription's name.
        spec: its section of the spec.
        mark: the subscriber; None where this version does not have it.
        events: the bus.
        reclaim: seconds, see `RECLAIM`.
        inbox: what makes a subscriber handle each event once; needed where it or its section asks for that.
        mask: hides secrets in what a subscriber's exception says, before a dead letter keeps it.

    Raises at `start`:
        NotBuilt: this version does not have the subscriber.
    """

    def __init__(
        self,
        name: str,
        spec: SubscriptionSpec,
        mark: Mark | None,
        events: EventBus,
        *,
        reclaim: float = RECLAIM,
        inbox: Inbox | None = None,
        mask: Callable[[str], str] = str,
    ) -> None:
        self._name = name
        self._spec = spec
        self._mark = mark
        self._events = events
        self._reclaim = reclaim
        self._inbox = inbox
        self._mask = mask
        self._consumer: Consumer | None = None

    async def start(self) -> None:
        if self._mark is None:
            raise NotBuilt(f'the subscriber "{self._spec.handler}" of "{self._name}"')
        if self._once and self._inbox is None:
            raise NotBuilt(f'handling each event of "{self._name}" once, without a database,')
        wants = self.wants if self._spec.types or self._spec.filter else None
        function = self.handle_once if self._once else self._mark.function
        handler = Handler(function, self._spec.timeout, wants, self._told)
        consumer = self._events.backend.consumer(self._name, self._spec.stream, self._terms(), handler)
        await consumer.begin()
        self._consumer = consumer

    async def watch(self) -> None:
        if self._consumer is not None:
            await self._consumer.watch()

    async def stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.end(DRAIN)

    async def update(self, fields: Mapping[str, Any]) -> None:
        whole = {"stream": self._spec.stream, "handler": self._spec.handler, **fields}
        changed = type(self._spec).model_validate(whole)
        self._spec = self._spec.model_copy(update={name: getattr(changed, name) for name in fields})
        if self._consumer is not None:
            self._consumer.resize(self._spec.concurrency)

    async def health(self) -> Health:
        if self._consumer is None:
            return Health("down", "it does not run")
        activity = self._consumer.activity
        details: dict[str, Any] = {
            "running": activity.running,
            "handled": activity.handled,
            "failed": activity.failed,
            "dead": activity.dead,
            "missed": activity.missed,
        }
        try:
            details["lag"] = await self._consumer.lag()
        except AWAY as error:
            return Health("degraded", f"Redis does not answer: {error}", details)
        if activity.away is not None:
            return Health("degraded", f"Redis does not answer: {activity.away}", details)
        return Health(details=details)

    def wants(self, event: Event) -> bool:
        """Whether an event has one of the types and all of the values that the spec names."""
        if self._spec.types and event.type not in self._spec.types:
            return False
        return all(event.data.get(field) == value for field, value in self._spec.filter.items())

    def _told(self, event: Event, error: BaseException) -> str:
        """Logs a failed try; returns the sentence that a dead letter keeps of it."""
        sentence = self._mask(error.message if isinstance(error, Fault) else f"{type(error).__name__}: {error}")
        about = {"subscription": self._name, "event": event.id, "stream": event.stream}
        trace = None if isinstance(error, Fault | TimedOut) else error
        logger.warning("%s failed on %s: %s", self._name, event.id, sentence, exc_info=trace, extra=about)
        return sentence

    @property
    def _once(self) -> bool:
        return self._spec.inbox or (self._mark is not None and self._mark.once)

    async def handle_once(self, event: Event) -> None:
        """Calls the subscriber where the event has not been handled, and notes that it has been."""
        assert self._mark is not None  # noqa: S101 - `start` has seen it
        assert self._inbox is not None  # noqa: S101 - `start` has seen it
        keep = self._events.keeps(event.stream) + MARGIN
        if self._mark.once:
            async with self._inbox.once(self._name, event.id, keep) as transaction:
                if transaction is not None:
                    await self._call(event, transaction)
        elif not await self._inbox.handled(self._name, event.id):
            await self._call(event)  # outside of any transaction: on SQLite it would keep others waiting
            await self._inbox.note(self._name, event.id, keep)

    async def _call(self, event: Event, *more: Transaction) -> None:
        assert self._mark is not None  # noqa: S101 - `start` has seen it
        returned = await call(self._mark.function, event, *more)
        if returned.error is not None:
            raise returned.error

    def _terms(self) -> Terms:
        retry = self._spec.retry
        return Terms(
            start=self._spec.from_,
            concurrency=self._spec.concurrency,
            attempts=retry.attempts,
            pause=lambda attempt: pause(attempt, retry),
            reclaim=self._reclaim,
            dead_letter=self._spec.dead_letter,
            key_order=self._spec.key_order,
        )
