"""A subscription: calls a subscriber for each event of a stream."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault, NotBuilt
from runtime.health import Health
from runtime.services.away import AWAY
from runtime.services.events.backend import Consumer, Terms
from runtime.services.function import Returned, TimedOut, call
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


class _RolledBack(Exception):  # noqa: N818 - carries an outcome out of a transaction
    def __init__(self, returned: Returned) -> None:
        self.returned = returned


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
        consumer = self._events.backend.consumer(self._name, self._spec.stream, self._terms(), self.handle)
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
        }
        try:
            details["lag"] = await self._consumer.lag()
        except AWAY as error:
            return Health("degraded", f"Redis does not answer: {error}", details)
        if activity.away is not None:
            return Health("degraded", f"Redis does not answer: {activity.away}", details)
        return Health(details=details)

    async def handle(self, event: Event) -> str | None:
        """Makes one try of an event: None when it is done, else what went wrong."""
        if self._mark is None or not self._wants(event):
            return None
        returned = await (self._call_once(event) if self._once else self._call(event))
        if returned.error is None:
            return None
        error = returned.error
        sentence = self._mask(error.message if isinstance(error, Fault) else f"{type(error).__name__}: {error}")
        about = {"subscription": self._name, "event": event.id, "stream": event.stream}
        trace = None if isinstance(error, Fault | TimedOut) else error
        logger.warning("%s failed on %s: %s", self._name, event.id, sentence, exc_info=trace, extra=about)
        return sentence

    def _wants(self, event: Event) -> bool:
        if self._spec.types and event.type not in self._spec.types:
            return False
        return all(event.data.get(field) == value for field, value in self._spec.filter.items())

    @property
    def _once(self) -> bool:
        return self._spec.inbox or (self._mark is not None and self._mark.once)

    async def _call(self, event: Event, *more: Transaction) -> Returned:
        assert self._mark is not None  # noqa: S101 - `handle` has seen it
        return await call(self._mark.function, event, *more, limit=self._spec.timeout)

    async def _call_once(self, event: Event) -> Returned:
        """Calls the subscriber where the event has not been handled, and notes that it has been."""
        assert self._mark is not None  # noqa: S101 - `handle` has seen it
        assert self._inbox is not None  # noqa: S101 - `start` has seen it
        keep = self._events.keeps(event.stream) + MARGIN
        try:
            if self._mark.once:
                return await self._call_within(self._inbox, event, keep)
            if await self._inbox.handled(self._name, event.id):
                return Returned()
            returned = await self._call(event)  # outside of any transaction: on SQLite it would keep others waiting
            if returned.error is None:
                await self._inbox.note(self._name, event.id, keep)
        except Exception as error:  # noqa: BLE001 - the database refused: a failed try like any other
            return Returned(error=error)
        return returned

    async def _call_within(self, inbox: Inbox, event: Event, keep: float) -> Returned:
        """Calls the subscriber inside the transaction that notes the event as handled."""
        try:
            async with inbox.once(self._name, event.id, keep) as transaction:
                if transaction is None:
                    return Returned()
                returned = await self._call(event, transaction)
                if returned.error is not None:
                    raise _RolledBack(returned)
        except _RolledBack as failed:
            return failed.returned
        return returned

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
