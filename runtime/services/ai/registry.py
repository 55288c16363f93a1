"""Which providers may be asked at this moment, and what their answers change about that."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from runtime.services.ai.ceilings import Ceilings
from runtime.services.ai.failures import Failure
from runtime.services.ai.ports import ProviderView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.services.ai.breaker import Conditions
    from runtime.services.ai.client import ProviderClient
    from runtime.spec.fields import Breaker

logger = logging.getLogger("runtime.ai")

LOOK: Final = 1.0
"""Seconds between two looks at what other instances have learnt."""
PROBE_TIMEOUT: Final = 10.0


class Closed(msgspec.Struct, frozen=True):
    """A provider is not to be asked.

    Args:
        retry_after: seconds until it may be worth it; None where nobody knows.
    """

    reason: str
    retry_after: float | None = None


Entry = Literal["ask", "probe"] | Closed
"""`probe`: this call tries out a provider whose cooldown is over, and must be told how it ended."""


class Registry:
    """The providers of an environment and their states.

    Args:
        clients: the providers by name.
        conditions: their states.
        breaker: gives the `ai.breaker` section, which is live.
    """

    def __init__(
        self, clients: Mapping[str, ProviderClient], conditions: Conditions, breaker: Callable[[], Breaker]
    ) -> None:
        self.clients = clients
        self._conditions = conditions
        self._breaker = breaker
        self._looked: dict[str, float] = {}
        self._refusals: Counter[str] = Counter()
        self.ceilings = Ceilings()

    async def enter(self, provider: str) -> Entry:
        """Whether a provider may be asked."""
        condition = self._conditions[provider]
        if condition.state == "active":
            return "ask"
        if condition.state == "disabled":
            return Closed(f"{provider} is disabled: {condition.reason}")
        left = condition.until - time.time()
        if left <= 0 and await self._conditions.take_probe(provider):
            return "probe"
        return Closed(f"{provider} is left alone for a while: {condition.reason}", max(left, 1.0))

    async def succeeded(self, provider: str, entry: Entry) -> None:
        """An answer came. Only that of a probe changes anything."""
        if entry == "probe":
            await self._conditions.restore(provider)
            logger.info("provider %s is active again", provider)

    async def failed(self, provider: str, entry: Entry, failure: Failure) -> None:
        """An attempt failed."""
        if failure.disables:
            self._refusals[provider] += 1
            if self._conditions[provider].state != "disabled":
                logger.error("provider %s is disabled: it refuses the key of the spec", provider)
            await self._conditions.disable(provider, "it refuses the key of the spec")
        elif failure.counted:
            before = self._conditions[provider]
            after = await self._conditions.failed(provider, self._breaker(), failure.message[:200])
            if after.state == "cooldown" and before.until != after.until:
                logger.warning("provider %s is left alone for a while: %s", provider, failure.message[:200])
        elif entry == "probe":
            # It answered: the fault is the request's.
            await self._conditions.restore(provider)

    async def left(self, provider: str, entry: Entry) -> None:
        """The caller went before anything could be said of the provider."""
        if entry == "probe":
            await self._conditions.release(provider)

    async def renewed(self, provider: str) -> None:
        """It has another key or address: what was held against it no longer counts."""
        if self._conditions[provider].state != "active":
            await self._conditions.restore(provider)

    async def run(self) -> None:
        """Keeps up with other instances, and tries disabled providers again."""
        while True:
            await self._conditions.refresh()
            for name in self.clients:
                if self._conditions[name].state == "disabled":
                    await self._try(name)
            await asyncio.sleep(LOOK)

    async def _try(self, provider: str) -> None:
        now = time.monotonic()
        if now - self._looked.get(provider, 0.0) < self._breaker().cooldown:
            return
        self._looked[provider] = now
        if not await self._conditions.take_probe(provider):
            return
        refused = self._refusals[provider]
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                await self.clients[provider].models.probe()
        except (Failure, TimeoutError):
            await self._conditions.release(provider)
            return
        if self._refusals[provider] != refused:  # refused after it was asked: its answer is out of date
            await self._conditions.release(provider)
            return
        await self._conditions.restore(provider)
        logger.info("provider %s takes its key again", provider)

    def views(self) -> list[ProviderView]:
        """Every provider, as an operator sees it."""
        now = time.time()
        found = []
        for name, client in self.clients.items():
            condition = self._conditions[name]
            left = math.ceil(max(0.0, condition.until - now) * 10) / 10 if condition.state == "cooldown" else None
            limits = client.spec.limits
            found.append(
                ProviderView(
                    name=name,
                    kind=client.spec.kind,
                    state=condition.state,
                    reason=condition.reason,
                    retry_in=left,
                    timeout=client.spec.timeout,
                    requests=_rate(limits.requests),
                    tokens=_rate(limits.tokens),
                )
            )
        return found


def _rate(rate: tuple[int, float] | None) -> str | None:
    if rate is None:
        return None
    units = {1.0: "s", 60.0: "m", 3600.0: "h", 86400.0: "d"}
    return f"{rate[0]}/{units.get(rate[1], f'{rate[1]:g}s')}"
