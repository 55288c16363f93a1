"""Text messages to numbers, as jobs ask for them: codes that prove a phone, and what users' own code sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.services.notifications.channels.port import Message, SmsContent
from runtime.services.notifications.channels.spec import SmsSection
from runtime.services.notifications.letters import Undeliverable, Undelivered
from runtime.services.notifications.preferences import SUPPRESSED
from runtime.services.notifications.store import addresses
from runtime.services.phones import e164

if TYPE_CHECKING:
    from runtime.services.notifications.chain import Chains
    from runtime.services.notifications.declared import Declared
    from runtime.services.notifications.figures import Figures
    from runtime.services.outbox.ports import Transactions
    from runtime.storage.database import Database


class Texting:
    """Sends to a number through the channel of text messages and its fallbacks.

    Args:
        declared: what the spec says now.
        database: knows which numbers get nothing more.
    """

    def __init__(
        self,
        declared: Declared,
        database: Database,
        transactions: Transactions,
        chains: Chains,
        figures: Figures,
    ) -> None:
        self._declared = declared
        self._database = database
        self._transactions = transactions
        self._chains = chains
        self._figures = figures

    def number(self, to: str) -> str:
        """A number in its international form; what is none stays as it is, so that `send` says so."""
        try:
            return e164(to, self._channel()[1].region)
        except ValueError:
            return to

    async def send(self, id_: str, to: str, body: str) -> None:
        """Sends one message.

        Args:
            id_: the same at every try.
            to: a number; without a country it is one of the channel's `region`.

        Raises:
            Undeliverable: this number never gets it.
            Undelivered: not now.
        """
        name, section = self._channel()
        try:
            number = e164(to, section.region)
        except ValueError as error:
            raise Undeliverable(str(error), address=True) from None
        async with self._database.reading() as connection:
            if ("sms", number) in await addresses.suppressed(connection, [number]):
                raise Undeliverable(SUPPRESSED)
        used, receipt = await self._chains.send(name, Message(id_, number, "", SmsContent(body)))
        self._figures.tried(used, receipt)
        match receipt.outcome:
            case "sent":
                return
            case "later":
                raise Undelivered(receipt.reason, down=receipt.down, after=receipt.after)
            case "stopped":
                await self._against(number, "complaints", 1, receipt.reason, None)
            case "bounced":
                limits = self._declared.spec.suppression
                await self._against(number, "bounces", limits.bounces, receipt.reason, limits.ttl)
            case _:
                pass
        raise Undeliverable(receipt.reason, address=receipt.outcome in ("stopped", "bounced"))

    def _channel(self) -> tuple[str, SmsSection]:
        """The channel that is called `sms`, or else the first."""
        found = {name: each for name, each in self._declared.spec.channels.items() if isinstance(each, SmsSection)}
        name = "sms" if "sms" in found else next(iter(found))
        return name, found[name]

    async def _against(self, number: str, what: str, limit: int, reason: str, ttl: float | None) -> None:
        async with self._transactions.transaction() as tx:
            await addresses.count_against(tx.connection, "sms", number, what, limit, reason, ttl)
