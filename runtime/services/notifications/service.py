"""Notifications as a component: its parts put together, what it looks after, and how it fares."""

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import anyio

from runtime.health import Health
from runtime.services.notifications.audience import Audiences
from runtime.services.notifications.bell import Bell
from runtime.services.notifications.chain import Chains
from runtime.services.notifications.choices import Choices
from runtime.services.notifications.courier import Courier
from runtime.services.notifications.declared import Declared
from runtime.services.notifications.devices import Devices
from runtime.services.notifications.figures import Figures
from runtime.services.notifications.inboxes import Inboxes
from runtime.services.notifications.links import Links
from runtime.services.notifications.planning import GRACE, Planner
from runtime.services.notifications.presence import Presence
from runtime.services.notifications.receipts import Receipts
from runtime.services.notifications.reports import Reports
from runtime.services.notifications.sending import Sending
from runtime.services.notifications.store import AWAY, addresses, deliveries, digests, notices, preferences
from runtime.services.notifications.templates import Templates
from runtime.services.notifications.texting import Texting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runtime.services.blocking import Client
    from runtime.services.events.ports import Platform
    from runtime.services.notifications.channels.port import Channel, Kind
    from runtime.services.notifications.devices import PushKeys
    from runtime.services.notifications.ports import Delivery, People
    from runtime.services.notifications.spec import NotificationsSpec
    from runtime.services.outbox.ports import Inbox, Outbox
    from runtime.spec.fields import Retry
    from runtime.storage.database import Database
    from runtime.telemetry.metrics import Metrics

logger = logging.getLogger("runtime.notifications")

SWEEP: Final = 60.0
STRANDED: Final = timedelta(minutes=10)
"""A delivery that has been due for so long without a job lost it, with the server of the queues."""
ABANDONED: Final = timedelta(hours=1)
"""A delivery that has been in hand for so long is in nobody's any more."""
MOST_SWEPT: Final = 500
PROBE_LIMIT: Final = 0.8


class NotificationService:
    """Implements the port `Notifications`, and does the work of the notification queues.

    Args:
        spec: the section.
        database: where all of it is kept.
        outbox: where it writes, so that jobs go out with what they are about.
        inbox: makes each report of a provider count once.
        client: of Redis: who is online, and who is to be woken.
        platform: is told of what becomes of deliveries.
        people: the users; None where the spec declares no accounts.
        channels: those that are built, by name.
        queues: by kind, the queue that delivers.
        retries: by kind, how that queue tries again.
        root: where relative paths of templates begin.
        name: of the environment.
        prefix: of its keys in Redis.
        public_url: where the API is reached from outside, for links in mails.
        grace: how long an open connection has to take what prefers it.
        metrics: shows its figures while it runs.
    """

    def __init__(
        self,
        spec: NotificationsSpec,
        database: Database,
        outbox: Outbox,
        inbox: Inbox,
        client: Client,
        platform: Platform,
        people: People | None,
        *,
        channels: Mapping[str, Channel],
        queues: Mapping[Kind, str],
        retries: Mapping[Kind, Retry],
        root: Path,
        name: str,
        prefix: str,
        public_url: str | None,
        push_keys: PushKeys | None = None,
        grace: timedelta = GRACE,
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = metrics
        self._grace = grace
        self._push_keys = push_keys
        self._spec = spec
        self._database = database
        self._outbox = outbox
        self._inbox = inbox
        self._platform = platform
        self._people = people
        self._channels = channels
        self._queues = queues
        self._retries = retries
        self._root, self._name, self._public_url = root, name, public_url
        self._presence = Presence(client, prefix)
        self._bell = Bell(client, prefix)
        self._chains = Chains(spec, channels)
        self.figures = Figures(lambda: self._chains.states)

    # As a component

    async def start(self) -> None:
        spec, database, outbox = self._spec, self._database, self._outbox
        declared = self._declared = Declared(spec, await self._templates(spec))
        async with outbox.transaction() as tx:
            key = await addresses.shared_key(tx.connection, "links", secrets.token_hex(32))
        links = Links(key, self._public_url)
        self._planner = Planner(declared, self._queues, self._grace)
        self.sending = Sending(
            declared, database, outbox, self._planner, Audiences(database, self._people), self._people,
            self._presence, self._bell, self.figures, self._queues["in_app"],
        )  # fmt: skip
        self.courier = Courier(
            declared, database, outbox, self._planner, self._chains, self._people, self._presence,
            self._retries, links.link, self.figures, self._ended,
        )  # fmt: skip
        self.texting = Texting(declared, database, outbox, self._chains, self.figures)
        self.inboxes = Inboxes(database, outbox, self._presence, self._bell, self.figures)
        self.choices = Choices(declared, database, outbox, self._people, links, self._platform)
        self.devices = Devices(database, outbox, self._people, self._push_keys)
        self.reports = Reports(declared, self._channels, self._inbox, self.figures, self._ended)
        self.receipts = Receipts(declared, database)
        if self._metrics is not None:
            self._metrics.add(self.figures)

    async def watch(self) -> None:
        """Finds deliveries whose jobs are lost, and forgets the counts of days that are over."""
        while True:
            await asyncio.sleep(SWEEP)
            try:
                await self.sweep()
            except AWAY as error:
                logger.warning("lost deliveries could not be looked for: %s", type(error).__name__)

    async def stop(self) -> None:
        if self._metrics is not None:
            self._metrics.remove(self.figures)
        await self._bell.stop()

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Takes all but the channels anew; what is under way ends as it began.

        Raises:
            Fault: a template is missing or wrong; nothing has changed.
        """
        before = self._declared.spec
        changed = type(before).model_validate(fields)
        spec = before.model_copy(update={name: getattr(changed, name) for name in fields})
        self._declared.adopt(spec, await self._templates(spec))
        self._chains.adopt(spec.breaker)

    async def _templates(self, spec: NotificationsSpec) -> Templates:
        given = {"settings_url": spec.settings_url}
        return await anyio.to_thread.run_sync(Templates, spec, self._root, self._name, given)

    async def health(self) -> Health:
        try:
            with anyio.fail_after(PROBE_LIMIT):
                async with self._database.reading() as connection:
                    waiting = await deliveries.waiting(connection)
        except AWAY as error:
            return Health("degraded", f"the database does not answer ({type(error).__name__})")
        ended = {f"{kind} {status}": count for (kind, status), count in sorted(self.figures.statuses.items())}
        details = {"waiting": waiting, "breakers": self._chains.states, "ended": ended}
        if self._chains.refused:
            said = "; ".join(f"{name}: {reason}" for name, reason in self._chains.refused.items())
            return Health("degraded", f"a provider refuses us: {said}", details)
        open_ = [name for name, state in self._chains.states.items() if state == "open"]
        if open_:
            return Health("degraded", f"left alone for a while, they fail: {', '.join(open_)}", details)
        return Health(details=details)

    async def sweep(self, older: timedelta = STRANDED, abandoned: timedelta = ABANDONED) -> int:
        """Makes jobs anew that are lost, and forgets what is older than the retention; returns how many jobs."""
        now = datetime.now(UTC)
        async with self._outbox.transaction() as tx:
            await deliveries.abandoned(tx.connection, now - abandoned)
            found = await deliveries.stranded(tx.connection, now - older, MOST_SWEPT)
            await deliveries.touch(tx.connection, [each.id for each in found])
            for each in found:
                if self._planner.available(each.kind):
                    await self._planner.enqueue(tx, each.kind, [each.id], None, now)
            notifications = await notices.stranded(tx.connection, now - older, MOST_SWEPT)
            for id_ in notifications:
                work = {"work": "expand", "notification": id_}
                await tx.enqueue(self._queues["in_app"], work, once=f"again:{id_}")
            closing = await digests.stranded(tx.connection, now - older, MOST_SWEPT)
            for digest, recipient in closing:
                work = {"work": "digest", "digest": digest, "recipient": recipient}
                await tx.enqueue(self._queues["in_app"], work, once=f"again:{digest}")
        async with self._outbox.transaction() as tx:
            await preferences.forget_days(tx.connection, (now - timedelta(days=3)).date().isoformat())
            await notices.forget(tx.connection, now - timedelta(seconds=self._declared.spec.retention), MOST_SWEPT)
        lost = len(found) + len(notifications) + len(closing)
        if lost:
            logger.warning("%d jobs of notifications were lost and are made anew", lost)
        return lost

    def _ended(self, delivery: Delivery, status: str, reason: str) -> None:
        self._platform.delivery_ended(
            delivery.id, delivery.notification, delivery.recipient, kind=delivery.kind, status=status, reason=reason
        )
