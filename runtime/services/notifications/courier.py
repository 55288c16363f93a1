"""Delivers: takes rows that are due, asks the preferences once more, sends, and writes down what became of it."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import anyio

from runtime.errors import Fault
from runtime.services.notifications.channels.port import Message, Receipt
from runtime.services.notifications.outcomes import Outcomes
from runtime.services.notifications.preferences import (
    ONLINE,
    PUSH_AND_MAIL,
    TAKEN,
    verdicts,
)
from runtime.services.notifications.recipients import Known, known, people_of
from runtime.services.notifications.store import deliveries, inbox, notices, push
from runtime.services.notifications.store.deliveries import Outcome
from runtime.services.retry import pause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runtime.services.notifications.chain import Chains
    from runtime.services.notifications.channels.port import Kind
    from runtime.services.notifications.declared import Declared
    from runtime.services.notifications.figures import Figures
    from runtime.services.notifications.planning import Going, Planner
    from runtime.services.notifications.ports import Delivery, People, PushSubscription
    from runtime.services.notifications.presence import Presence
    from runtime.services.outbox.ports import Transactions
    from runtime.spec.fields import Retry
    from runtime.storage.database import Database

logger = logging.getLogger("runtime.notifications")

AT_ONCE: Final = 10
"""Deliveries that are in hand together: so many may go out twice when a worker dies."""
RELEASE: Final = 2.0
"""Seconds that a worker which ends may take to give back what it has not begun."""
UNDECLARED: Final = "the category is declared no more"
PATIENCE: Final = timedelta(days=1)
"""How long a delivery waits for a provider that is left alone, without any of its tries being spent."""
MOST_REPEATS: Final = 2
"""Tries after which a delivery is given up of which each time the worker died."""


@dataclass(frozen=True, slots=True)
class Case:
    """A delivery with all that is needed to decide on it, and to send it.

    Args:
        noticed: an open connection took it, or it was read.
        device: the push subscription that it goes to, where it is one.
    """

    delivery: Delivery
    going: Going
    who: Known | None
    online: bool
    noticed: bool
    read: bool
    device: PushSubscription | None


class Courier:
    """Delivers what is due.

    Args:
        database: for reads.
        transactions: where rows are claimed and recorded.
        retries: of the queues, by kind.
        unsubscribe: makes the address by which a recipient ends a category's mails; None where there is none.
        told: is called with each delivery that has come to an end, and its status.
    """

    def __init__(
        self,
        declared: Declared,
        database: Database,
        transactions: Transactions,
        planner: Planner,
        chains: Chains,
        people: People | None,
        presence: Presence,
        retries: Mapping[Kind, Retry],
        unsubscribe: Callable[[str, str, str], str | None],
        figures: Figures,
        told: Callable[[Delivery, str, str], None],
    ) -> None:
        self._database = database
        self._transactions = transactions
        self._outcomes = Outcomes(declared, transactions, planner)
        self._limits: dict[str, anyio.CapacityLimiter] = {}
        self._planner = planner
        self._chains = chains
        self._declared = declared
        self._people = people
        self._presence = presence
        self._retries = retries
        self._unsubscribe = unsubscribe
        self._figures = figures
        self._told = told

    async def deliver(self, job: str, ids: Sequence[str]) -> dict[str, int]:
        """Delivers those of the rows that are due; returns how many came to what.

        Raises:
            Unreachable: the database does not answer; the job's next try goes on.
        """
        came: Counter[str] = Counter()
        for first in range(0, len(ids), AT_ONCE):
            async with self._transactions.transaction() as tx:
                mine = await deliveries.claim(tx.connection, ids[first : first + AT_ONCE], job)
            if mine:
                came.update(await self._deliver(job, mine))
        return came

    async def _deliver(self, job: str, mine: Sequence[Delivery]) -> list[str]:
        came: list[str] = []
        idle = {each.id for each in mine}

        async def one(case: Case) -> None:
            async with self._places(case.delivery.channel):
                idle.discard(case.delivery.id)
                came.append(await self._one(case))

        try:
            cases = await self._cases(mine)
            for each in mine:
                if all(case.delivery is not each for case in cases):
                    idle.discard(each.id)
                    came.append(await self._end(each, "suppressed", UNDECLARED))
            async with anyio.create_task_group() as group:
                for case in cases:
                    group.start_soon(one, case)
        except BaseException:  # the job's time is over, or the worker stops: what was not begun is not in hand
            if idle:
                with anyio.CancelScope(shield=True), anyio.move_on_after(RELEASE):
                    async with self._transactions.transaction() as tx:
                        await deliveries.release(tx.connection, sorted(idle), job)
            raise
        return came

    def _places(self, channel: str) -> anyio.CapacityLimiter:
        """How many messages may be under way on a channel at once."""
        if channel not in self._limits:
            section = self._declared.spec.channels.get(channel)
            self._limits[channel] = anyio.CapacityLimiter(getattr(section, "connections", AT_ONCE))
        return self._limits[channel]

    async def _cases(self, mine: Sequence[Delivery]) -> list[Case]:
        """Those of the deliveries whose category is still declared, with what is needed."""
        names = list(dict.fromkeys(each.recipient for each in mine))
        found = await people_of(self._people, names)
        online = await self._presence.online(names)
        async with self._database.reading() as connection:
            facts = await known(connection, found)
            kept = await notices.several(connection, sorted({each.notification for each in mine}))
            noticed = await inbox.noticed(connection, [(each.notification, each.recipient) for each in mine])
            devices = await push.several(connection, [each.address for each in mine if each.kind == "push"])
        return [
            Case(
                each,
                going,
                facts.get(each.recipient),
                each.recipient in online,
                (each.notification, each.recipient) in noticed,
                noticed.get((each.notification, each.recipient), False),
                devices.get(each.address),
            )
            for each in mine
            if (going := self._planner.going(kept[each.notification], each.step, each.items)) is not None
        ]

    async def _one(self, case: Case) -> str:
        """Delivers one; returns the status that it has now."""
        delivery, now = case.delivery, datetime.now(UTC)
        if delivery.repeated and delivery.attempts > MOST_REPEATS:
            return await self._end(case.delivery, "failed", "the worker died at each try: it may have gone out")
        if why := self._against(case):
            return await self._end(case.delivery, "suppressed", why)
        assert case.who is not None  # noqa: S101 - `_against` has seen it
        quiet = None if case.going.urgent else self._planner.quiet(case.who, now)
        if quiet is not None:
            return await self._again(case, "quiet hours", quiet, tried=False)
        try:
            message = await self._message(case)
        except Fault as error:  # the templates have changed since it was taken
            return await self._end(case.delivery, "failed", error.message)
        used, receipt = await self._chains.send(delivery.channel, message)
        if receipt.asked:
            self._figures.tried(used, receipt)
        return await self._settle(case, used, receipt, now)

    def _against(self, case: Case) -> str:
        """Why a delivery does not go out any more; empty where it does."""
        delivery, going = case.delivery, case.going
        if case.who is None:
            return "there is no such user any more"
        found = verdicts(
            going.name, going.category, [delivery.kind], case.who.settings, case.who.reachable, case.who.suppressed
        )
        mine = next((verdict for verdict in found if verdict.address in (delivery.address, "")), None)
        if mine is None:
            return "not among the included addresses"
        if not mine.sends:
            return mine.reason
        if going.step and case.read and not going.items:
            return "it was read"
        if going.mode == "prefer_socket" and case.noticed and not going.step:
            return TAKEN
        if going.mode == "default" and case.online and delivery.kind in PUSH_AND_MAIL:
            return ONLINE
        return ""

    async def _message(self, case: Case) -> Message:
        delivery, going, who = case.delivery, case.going, case.who
        assert who is not None  # noqa: S101 - `_against` has seen it
        link = going.kept.notice.link
        unsubscribe = None
        if delivery.kind == "email" and not going.category.mandatory:
            unsubscribe = self._unsubscribe(delivery.recipient, going.name, delivery.address)
        language = self._declared.templates.language(going.name, who.person.languages)
        data = going.kept.notice.data
        if len(going.items) > 1:
            data = await self._gathered(going, language)
        content = self._declared.templates.content(
            going.name, delivery.kind, data, language,
            link=link, unsubscribe=unsubscribe, digest=len(going.items) > 1,
        )  # fmt: skip
        urgency = going.kept.notice.urgency or going.category.urgency
        return Message(
            delivery.id, delivery.address, going.name, content, urgency, delivery.notification, unsubscribe,
            device=case.device,
        )  # fmt: skip

    async def _gathered(self, going: Going, language: str) -> dict[str, object]:
        """What the templates of a digest know: its items, the oldest first, each with its title, text and link."""
        async with self._database.reading() as connection:
            found = await notices.several(connection, list(going.items))
        shown = []
        for kept in sorted(found.values(), key=lambda each: each.id):
            notice = kept.notice
            title, text = self._declared.templates.title(going.name, notice.data, language, notice.link)
            link = notice.link or notice.data.get("link")
            shown.append({**notice.data, "title": title, "text": text, "link": link, "at": kept.created_at})
        return {"items": shown, "count": len(shown), "category": going.name, "about": going.category.description}

    async def _settle(self, case: Case, used: str, receipt: Receipt, now: datetime) -> str:
        match receipt.outcome:
            case "sent":
                return await self._end(case.delivery, "sent", receipt.reason, used, receipt)
            case "later":
                return await self._later(case, used, receipt, now)
            case "bounced":
                return await self._end(case.delivery, "bounced", receipt.reason, used, receipt)
            case "stopped":
                return await self._end(case.delivery, "suppressed", receipt.reason, used, receipt)
            case "gone":
                return await self._end(case.delivery, "failed", receipt.reason or "the device is gone", used, receipt)
            case _:
                return await self._end(case.delivery, "failed", receipt.reason, used, receipt)

    async def _later(self, case: Case, used: str, receipt: Receipt, now: datetime) -> str:
        retry = self._retries[case.delivery.kind]
        if not receipt.asked and now - case.delivery.created_at < PATIENCE:
            due = now + timedelta(seconds=max(retry.backoff, receipt.after or 0.0))
            return await self._again(case, receipt.reason, due, tried=False)
        if case.delivery.attempts >= retry.attempts:
            return await self._end(
                case.delivery, "failed", f"given up after {case.delivery.attempts} tries: {receipt.reason}", used
            )
        wait = max(pause(case.delivery.attempts, retry), receipt.after or 0.0)
        return await self._again(case, receipt.reason, now + timedelta(seconds=wait))

    async def _again(self, case: Case, reason: str, due: datetime, *, tried: bool = True) -> str:
        """Lets a delivery wait, with a job that takes it up again."""
        await self._outcomes.write(Outcome(case.delivery, "queued", reason, due_at=due, tried=tried))
        return "queued"

    async def _end(
        self, delivery: Delivery, status: str, reason: str, used: str | None = None, receipt: Receipt | None = None
    ) -> str:
        await self._outcomes.write(Outcome(delivery, status, reason, used, receipt))
        self._figures.ended(delivery.kind, status)
        self._told(delivery, status, reason)
        return status
