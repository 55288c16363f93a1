"""From a notification and a page of recipients to rows: what goes out, when, and why the rest does not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from runtime.services.names import time_ordered
from runtime.services.notifications.ports import Delivery, InboxItem
from runtime.services.notifications.preferences import (
    ONLINE,
    OVER_LIMIT,
    PUSH_AND_MAIL,
    Verdict,
    limit_of,
    verdicts,
)
from runtime.services.notifications.quiet import local_day, quiet_until, zone_of
from runtime.services.notifications.recipients import has_account, known
from runtime.services.notifications.settings import QuietHours
from runtime.services.notifications.store import deliveries, digests, inbox, notices, preferences
from runtime.services.notifications.templates import channel_of, kinds_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.services.notifications.channels.port import Kind
    from runtime.services.notifications.declared import Declared
    from runtime.services.notifications.ports import Mode, Person
    from runtime.services.notifications.recipients import Known
    from runtime.services.notifications.spec import CategorySpec
    from runtime.services.notifications.store.notices import Kept
    from runtime.services.outbox.ports import Transaction

GRACE: Final = timedelta(seconds=5)
"""How long an open connection has to take a notification before other channels get it, in the mode `prefer_socket`."""
BATCH: Final = 20
"""Deliveries of one job."""
UNBUILT: Final = "the channel is not available"


@dataclass(frozen=True, slots=True)
class Going:
    """One notification as it goes out.

    Args:
        items: of a digest, the notifications that it gathers; `kept` is the newest of them.
        step: as in `Delivery`.
    """

    name: str
    category: CategorySpec
    kept: Kept
    step: str = ""
    items: Sequence[str] = ()

    @property
    def urgent(self) -> bool:
        """Whether it passes quiet hours."""
        return self.category.mandatory or (self.kept.notice.urgency or self.category.urgency) == "high"

    @property
    def mode(self) -> Mode:
        if self.step == "escalation":  # an open connection is no reason: it was not read there
            return "forced"
        return self.kept.notice.mode or self.category.mode


@dataclass(slots=True)
class Page:
    """The rows of some recipients, before they are stored.

    Args:
        shown: by language, title and text in the inbox: the same for all who read it.
    """

    deliveries: list[Delivery] = field(default_factory=list)
    inbox: list[tuple[str, InboxItem]] = field(default_factory=list)
    gathered: list[str] = field(default_factory=list)
    shown: dict[str, tuple[str, str]] = field(default_factory=dict)


class Planner:
    """Decides what goes out to whom, and writes it down.

    Args:
        declared: the section, and what the inbox shows.
        queues: by kind, the queue whose jobs deliver; a kind without one is not available.
        grace: how long an open connection has to take a notification in the mode `prefer_socket`.
    """

    def __init__(self, declared: Declared, queues: Mapping[Kind, str], grace: timedelta = GRACE) -> None:
        self._declared = declared
        self._grace = grace
        self._queues = queues

    def going(self, kept: Kept, step: str = "", items: Sequence[str] = ()) -> Going | None:
        """A notification as it goes out; None where its category is declared no more."""
        category = self._declared.spec.categories.get(kept.notice.category)
        return Going(kept.notice.category, category, kept, step, items) if category is not None else None

    def available(self, kind: Kind) -> bool:
        """Whether a kind of channel is built, and has a queue."""
        return kind in self._queues

    async def plan(self, tx: Transaction, going: Going, found: Mapping[str, Person], online: set[str]) -> list[str]:
        """Writes the rows of a page of recipients and the jobs that deliver them.

        Returns:
            The recipients whose inbox has grown, or shall be pointed out to them again.
        """
        await notices.find(tx.connection, going.kept.id, lock=True)  # of several who expand it, one at a time
        there = await deliveries.reached(tx.connection, going.kept.id, going.step, list(found))
        facts = await known(tx.connection, {name: person for name, person in found.items() if name not in there})
        page, now = Page(), datetime.now(UTC)
        for name, who in facts.items():
            await self._one(tx, page, going, name, who, online=name in online, now=now)
        await inbox.add(tx.connection, [name for name, _ in page.inbox], [item for _, item in page.inbox])
        await deliveries.add(tx.connection, page.deliveries)
        await self._enqueue(tx, page.deliveries, now)
        if not going.items:
            await notices.told(tx.connection, going.kept.id, 0 if going.step else len(facts), all_of_them=False)
        again = list(facts) if going.step.startswith("reminder") else []
        return [name for name, _ in page.inbox] + again

    async def put(
        self, tx: Transaction, going: Going, found: Mapping[str, Person], shown: tuple[str, str]
    ) -> list[str]:
        """Writes the inbox rows alone, with a text of their own; returns as `plan`."""
        facts, now, page = await known(tx.connection, found), datetime.now(UTC), Page()
        for name, who in facts.items():
            (verdict,) = verdicts(going.name, going.category, ["in_app"], who.settings, who.reachable, ())
            page.deliveries.append(self._row(going, name, verdict, now, None))
            if verdict.sends:
                page.inbox.append((name, self._shown(going, shown, now)))
        await inbox.add(tx.connection, [name for name, _ in page.inbox], [item for _, item in page.inbox])
        await deliveries.add(tx.connection, page.deliveries)
        return [name for name, _ in page.inbox]

    async def _one(
        self, tx: Transaction, page: Page, going: Going, name: str, who: Known, *, online: bool, now: datetime
    ) -> None:
        category, kinds = going.category, self._kinds(going, name)
        found = verdicts(going.name, category, kinds, who.settings, who.reachable, who.suppressed)
        found = [self._of_mode(verdict, going, online=online) for verdict in found]
        disturbing = [verdict for verdict in found if verdict.sends and verdict.kind != "in_app"]
        if disturbing and category.digest is not None and not going.step:
            await self._gather(tx, going, name, now)
            found = [verdict for verdict in found if verdict not in disturbing]
            page.gathered.append(name)
        elif disturbing and not await self._within_limit(tx, going, name, who, now):
            found = [replace(each, reason=OVER_LIMIT) if each in disturbing else each for each in found]
        due = self._due(going, who, online=online, now=now)
        for verdict in found:
            row = self._row(going, name, verdict, now, due)
            page.deliveries.append(row)
            if verdict.kind == "in_app" and verdict.sends:
                page.inbox.append((name, self._item(page, going, who, now)))

    def _kinds(self, going: Going, name: str) -> list[Kind]:
        if going.step == "escalation" and going.category.escalation is not None:
            escalated = going.category.model_copy(update={"channels": going.category.escalation.channels})
            kinds = kinds_of(escalated, self._declared.spec)
        else:
            kinds = kinds_of(going.category, self._declared.spec)
        if going.step or not has_account(name):  # the inbox has it already, or there is none
            return [kind for kind in kinds if kind != "in_app"]
        return kinds

    def _of_mode(self, verdict: Verdict, going: Going, *, online: bool) -> Verdict:
        if not verdict.sends or verdict.kind == "in_app":
            return verdict
        if not self.available(verdict.kind):
            return replace(verdict, reason=UNBUILT)
        if online and going.mode == "default" and verdict.kind in PUSH_AND_MAIL:
            return replace(verdict, reason=ONLINE)
        return verdict

    async def _within_limit(self, tx: Transaction, going: Going, name: str, who: Known, now: datetime) -> bool:
        limit = limit_of(going.name, going.category, who.settings)
        if limit is None:
            return True
        day = local_day(now, zone_of(who.person.time_zone))
        return await preferences.take(tx.connection, name, going.name, day, limit)

    def _due(self, going: Going, who: Known, *, online: bool, now: datetime) -> datetime | None:
        quiet = None if going.urgent else self.quiet(who, now)
        wait = now + self._grace if online and going.mode == "prefer_socket" else None
        return max((moment for moment in (quiet, wait) if moment is not None), default=None)

    def quiet(self, who: Known, now: datetime) -> datetime | None:
        """The end of a recipient's quiet hours; None where it is not in them."""
        hours = who.settings.quiet_hours
        if hours is None and self._declared.spec.quiet_hours is not None:
            hours = QuietHours(self._declared.spec.quiet_hours.start, self._declared.spec.quiet_hours.end)
        return quiet_until(now, zone_of(who.person.time_zone), hours) if hours is not None else None

    async def _gather(self, tx: Transaction, going: Going, name: str, now: datetime) -> None:
        digest = going.category.digest
        assert digest is not None  # noqa: S101 - the caller has seen it
        key = self._declared.templates.gathered_by(going.name, going.kept.notice.data)
        fresh, closes = time_ordered(), now + timedelta(seconds=digest.window)
        opened = await digests.gather(
            tx.connection,
            name,
            going.name,
            hashlib.sha256(key.encode()).hexdigest(),
            going.kept.id,
            fresh=fresh,
            now=now,
            closes_at=closes,
        )
        if opened:
            work = {"work": "digest", "digest": fresh, "recipient": name}
            await tx.enqueue(self._queues["in_app"], work, delay=float(digest.window), once=f"digest:{fresh}")

    def _row(self, going: Going, name: str, verdict: Verdict, now: datetime, due: datetime | None) -> Delivery:
        inboxed = verdict.kind == "in_app" and verdict.sends
        return Delivery(
            deliveries.name_of(going.kept.id, name, verdict.kind, verdict.address, going.step),
            going.kept.id,
            name,
            verdict.kind,
            self._channel(going, verdict.kind),
            verdict.address,
            going.step,
            "sent" if inboxed else "queued" if verdict.sends else "suppressed",
            verdict.reason,
            None,
            None,
            0,
            False,
            now,
            due if verdict.sends and not inboxed else None,
            now if inboxed else None,
            now,
            going.items,
        )

    def _channel(self, going: Going, kind: Kind) -> str:
        if kind == "in_app":  # also of what is put there by hand, whatever the category's channels are
            return next(
                (name for name, each in self._declared.spec.channels.items() if each.kind == "in_app"), "in_app"
            )
        return channel_of(going.category, self._declared.spec, kind)

    def _item(self, page: Page, going: Going, who: Known, now: datetime) -> InboxItem:
        notice = going.kept.notice
        language = self._declared.templates.language(going.name, who.person.languages)
        if language not in page.shown:
            page.shown[language] = self._declared.templates.title(going.name, notice.data, language, notice.link)
        return self._shown(going, page.shown[language], now)

    def _shown(self, going: Going, shown: tuple[str, str], now: datetime) -> InboxItem:
        notice = going.kept.notice
        link = notice.link or notice.data.get("link")
        leads = str(link)[:2000] if link else None
        return InboxItem(time_ordered(), going.kept.id, going.name, *shown, leads, now, None, None)

    async def _enqueue(self, tx: Transaction, rows: Sequence[Delivery], now: datetime) -> None:
        """Puts the jobs of queued rows into their queues, those that are due together in one."""
        groups: dict[tuple[Kind, datetime | None], list[str]] = {}
        for row in rows:
            if row.status == "queued":
                groups.setdefault((row.kind, row.due_at), []).append(row.id)
        for (kind, due), ids in groups.items():
            for first in range(0, len(ids), BATCH):
                await self.enqueue(tx, kind, ids[first : first + BATCH], due, now)

    async def enqueue(
        self, tx: Transaction, kind: Kind, ids: Sequence[str], due: datetime | None, now: datetime
    ) -> None:
        """Puts a job for deliveries of one kind into its queue."""
        wait: dict[str, Any] = {"delay": (due - now).total_seconds()} if due is not None and due > now else {}
        await tx.enqueue(self._queues[kind], {"deliveries": list(ids)}, **wait)
