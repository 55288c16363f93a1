"""A chain of providers: the channel of a category, and those that stand in for it while its provider is down."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runtime.services.notifications.breaker import Breaker
from runtime.services.notifications.channels.port import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.services.notifications.channels.port import Channel, Message
    from runtime.services.notifications.spec import NotificationsSpec
    from runtime.spec.fields import Breaker as BreakerSpec

logger = logging.getLogger("runtime.notifications")


class Chains:
    """Sends through a channel, or through its fallbacks in their order.

    Only a provider that does not work is passed over (`Receipt.down`): what refuses one message or one address is not
    asked again elsewhere.

    Args:
        spec: the section.
        channels: those that are built, by name.
    """

    def __init__(self, spec: NotificationsSpec, channels: Mapping[str, Channel]) -> None:
        self._channels = channels
        self._fallbacks = {name: tuple(section.fallback) for name, section in spec.channels.items()}
        self._breakers = {name: Breaker(spec.breaker) for name in channels}
        self.refused: dict[str, str] = {}
        """Providers that refuse us, and what they say; empty again once they take something."""

    def adopt(self, spec: BreakerSpec) -> None:
        """Takes other figures for the breakers."""
        for breaker in self._breakers.values():
            breaker.spec = spec

    @property
    def states(self) -> dict[str, str]:
        """The breaker of each channel."""
        return {name: breaker.state for name, breaker in self._breakers.items()}

    async def send(self, name: str, message: Message) -> tuple[str, Receipt]:
        """Hands a message to the first provider that works.

        Returns:
            The channel that had it, and its receipt; `later` where none of them works now.
        """
        kind = self._channels[name].kind
        used, receipt, waits = name, Receipt("later", reason="no provider"), []
        for candidate in (name, *self._fallbacks.get(name, ())):
            channel, breaker = self._channels.get(candidate), self._breakers.get(candidate)
            if channel is None or breaker is None or channel.kind != kind:
                continue
            if not breaker.admits():
                waits.append(breaker.wait)
                if not receipt.down:
                    receipt = Receipt("later", reason=f"{candidate} is left alone for a while", down=True, asked=False)
                continue
            used, receipt = candidate, await channel.send(message)
            breaker.note(ok=not receipt.down)
            self._note(candidate, receipt)
            if not receipt.down:
                return used, receipt
        if receipt.after is None and waits:
            receipt = Receipt("later", reason=receipt.reason, after=min(waits), down=True, asked=receipt.asked)
        elif receipt.outcome == "refused":  # it is us that nobody takes: an operator can mend that
            receipt = Receipt("later", reason=receipt.reason, after=receipt.after, down=True)
        return used, receipt

    def _note(self, name: str, receipt: Receipt) -> None:
        if receipt.outcome == "refused":
            if name not in self.refused:
                logger.error("the provider of the channel %s refuses us: %s", name, receipt.reason)
            self.refused[name] = receipt.reason
        elif not receipt.down:
            self.refused.pop(name, None)
