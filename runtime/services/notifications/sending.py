"""Taking notifications, and bringing them to their audience: at once where it is small, in pages where it is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runtime.errors import Conflict
from runtime.services.names import time_ordered, unknown
from runtime.services.notifications.audience import PAGE
from runtime.services.notifications.ports import MOST_INLINE, Audience, Notice, Notified
from runtime.services.notifications.recipients import PHONE, STRANGER, people_of
from runtime.services.notifications.requests import fingerprint, normal, operation, require_good
from runtime.services.notifications.store import deliveries, digests, inbox, leaving, notices
from runtime.services.notifications.store.notices import Kept
from runtime.services.notifications.templates import all_kinds_of
from runtime.services.phones import e164

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.jobs.ports import JobContext
    from runtime.services.notifications.audience import Audiences
    from runtime.services.notifications.bell import Bell
    from runtime.services.notifications.channels.port import Kind
    from runtime.services.notifications.declared import Declared
    from runtime.services.notifications.figures import Figures
    from runtime.services.notifications.planning import Planner
    from runtime.services.notifications.ports import People
    from runtime.services.notifications.presence import Presence
    from runtime.services.notifications.spec import CategorySpec
    from runtime.services.outbox.ports import Transaction, Transactions
    from runtime.storage.database import Database


class Sending:
    """Takes notifications and expands them.

    Args:
        queue: whose jobs expand audiences, repeat what is not read and close digests.
    """

    def __init__(
        self,
        declared: Declared,
        database: Database,
        transactions: Transactions,
        planner: Planner,
        audiences: Audiences,
        people: People | None,
        presence: Presence,
        bell: Bell,
        figures: Figures,
        queue: str,
    ) -> None:
        self._database = database
        self._transactions = transactions
        self._planner = planner
        self._declared = declared
        self._audiences = audiences
        self._people = people
        self._presence = presence
        self._bell = bell
        self._figures = figures
        self._queue = queue

    # Taking

    async def notify(self, notice: Notice, to: Audience, *, by: str = "") -> Notified:
        spec = self._declared.spec
        if notice.category not in spec.categories:
            raise unknown("category", notice.category, spec.categories)
        await require_good(notice, to, self._people)
        category = spec.categories[notice.category]
        self._declared.templates.check(notice.category, self._kinds(category), notice.data, notice.link)
        to = replace(
            to, emails=tuple(normal(each) for each in to.emails), phones=tuple(e164(each) for each in to.phones)
        )
        now = datetime.now(UTC)
        due = notice.at if notice.at is not None and notice.at > now else None
        named = replace(notice, key=operation(by, notice.key) if notice.key is not None else None)
        kept = Kept(time_ordered(), named, to, fingerprint(notice, to), by[:200], now, due, None, 0)
        count = len(to.users) + len(to.emails) + len(to.phones)
        small = due is None and to.topic is None and not to.everyone and count <= MOST_INLINE
        names = self._named(to) if small else []
        found = await people_of(self._people, names)
        online = await self._presence.online(names)
        grown: list[str] = []
        async with self._transactions.transaction() as tx:
            if not await notices.add(tx.connection, kept):
                return await self._known(tx, kept)
            going = self._planner.going(kept)
            if small and going is not None:
                grown = await self._planner.plan(tx, going, found, online)
                await self._complete(tx, kept, category)
                count = await deliveries.count(tx.connection, kept.id)
            else:
                wait: dict[str, Any] = {"delay": (due - now).total_seconds()} if due is not None else {}
                await tx.enqueue(self._queue, {"work": "expand", "notification": kept.id}, **wait)
        self._figures.took(notice.category)
        await self._bell.ring(grown)
        return Notified(kept.id, count if small else None)

    async def _known(self, tx: Transaction, kept: Kept) -> Notified:
        before = await notices.of_key(tx.connection, kept.notice.key or "")
        if before is None or before.print != kept.print:
            raise Conflict("this key was used for another notification", remedy="Use a new key for a new one.")
        count = await deliveries.count(tx.connection, before.id) if before.expanded_at is not None else None
        return Notified(before.id, count, known=True)

    def _kinds(self, category: CategorySpec) -> list[Kind]:
        kinds = all_kinds_of(category, self._declared.spec)
        return [kind for kind in kinds if kind == "in_app" or self._planner.available(kind)]

    def _named(self, to: Audience) -> list[str]:
        left_out = set(to.but)
        names = [*to.users, *(f"{STRANGER}{each}" for each in to.emails), *(f"{PHONE}{each}" for each in to.phones)]
        return [name for name in dict.fromkeys(names) if name not in left_out]

    # Work of the queue

    async def expand(self, job: JobContext, id_: str) -> dict[str, Any]:
        """Writes the rows of a whole audience, a page at a time; goes on where an earlier try ended."""
        async with self._database.reading() as connection:
            kept = await notices.find(connection, id_)
        if kept is None or kept.expanded_at is not None:
            return {"recipients": kept.recipients if kept else 0}
        going, told = self._planner.going(kept), 0
        begin: Any = tuple(job.saved) if job.saved else ("users", "")
        if going is not None:
            async for names, position in self._audiences.pages(kept.audience, begin):
                told += await self._page(going, names)
                await job.save(list(position))
        async with self._transactions.transaction() as tx:
            await self._complete(tx, kept, going.category if going is not None else None)
        return {"recipients": told}

    async def again(self, job: JobContext, id_: str, step: str) -> dict[str, Any]:
        """Tells those once more who have not read a notification: a reminder, or the escalation."""
        async with self._database.reading() as connection:
            kept = await notices.find(connection, id_)
        if kept is None:
            return {"recipients": 0}
        going, told, after = self._planner.going(kept, step), 0, str(job.saved or "")
        while going is not None:
            async with self._database.reading() as connection:
                names = await inbox.ignored(connection, id_, after, PAGE)
            if not names:
                break
            told += await self._page(going, names)
            after = names[-1]
            await job.save(after)
        return {"recipients": told}

    async def digest(self, digest: str, recipient: str) -> dict[str, Any]:
        """Sends what a digest has gathered, as one."""
        found = await people_of(self._people, [recipient])
        online = await self._presence.online([recipient])
        async with self._transactions.transaction() as tx:
            items = await digests.close(tx.connection, digest)
            kept = await notices.several(tx.connection, items)
            going = self._planner.going(kept[max(kept)], f"digest-{digest}", sorted(kept)) if kept else None
            if going is not None and found:
                await self._planner.plan(tx, going, found, online)
        return {"gathered": len(items)}

    async def forget(self, recipient: str) -> dict[str, Any]:
        """Removes what has been planned for somebody while the account was being removed."""
        if not await people_of(self._people, [recipient]):
            async with self._transactions.transaction() as tx:
                await leaving.remove(tx.connection, recipient)
        return {}

    async def put(self, id_: str, user: str, category: str, title: str, text: str, link: str | None) -> str:
        """Puts an item with a text of its own into an inbox, as far as the user wants the category; returns the
        notification's id.

        Args:
            id_: names it, so that it is put there once.
        """
        if category not in self._declared.spec.categories:
            raise unknown("category", category, self._declared.spec.categories)
        notice = Notice(category, {"title": title, "text": text}, operation("in_app", id_), link=link)
        to = Audience(users=(user,))
        await require_good(notice, to, self._people)
        kept = Kept(time_ordered(), notice, to, fingerprint(notice, to), id_[:200], datetime.now(UTC), None, None, 0)
        found = await people_of(self._people, [user])
        async with self._transactions.transaction() as tx:
            if not await notices.add(tx.connection, kept):
                return (await self._known(tx, kept)).id
            going = self._planner.going(kept)
            grown = await self._planner.put(tx, going, found, (title, text)) if going is not None else []
            await notices.told(tx.connection, kept.id, 1, all_of_them=True)
        await self._bell.ring(grown)
        return kept.id

    async def _page(self, going: Any, names: Sequence[str]) -> int:
        found = await people_of(self._people, names)
        online = await self._presence.online(names)
        async with self._transactions.transaction() as tx:
            grown = await self._planner.plan(tx, going, found, online)
        await self._bell.ring(grown)
        return len(found)

    async def _complete(self, tx: Transaction, kept: Kept, category: CategorySpec | None) -> None:
        """Notes that all have their rows, and plans what happens to those who do not read it."""
        await notices.told(tx.connection, kept.id, 0, all_of_them=True)
        if category is None:
            return
        delays = kept.notice.delays if kept.notice.delays is not None else category.reminders
        steps = [(f"reminder-{number}", float(delay)) for number, delay in enumerate(delays, 1)]
        if category.escalation is not None:
            steps.append(("escalation", float(category.escalation.after)))
        for step, delay in steps:
            work = {"work": "again", "notification": kept.id, "step": step}
            await tx.enqueue(self._queue, work, delay=delay)
