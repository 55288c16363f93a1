"""Users' own keys of providers, remembered for some seconds."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runtime.services.secrets.ports import ProviderKeys

KEPT: Final = 15.0
"""Seconds for which a user's own key, or that it has none, is remembered: a deleted one is used no longer."""
MOST_KEYS: Final = 10_000


class OwnKeys:
    """Finds the keys that a call may use.

    Args:
        keys: where they are kept; None where the spec keeps none.
    """

    def __init__(self, keys: ProviderKeys | None) -> None:
        self._keys = keys
        self._known: OrderedDict[tuple[str, str], tuple[float, str | None]] = OrderedDict()

    async def of(self, user: str, providers: Iterable[str]) -> Mapping[str, str]:
        """A user's keys by provider.

        Raises:
            Fault: one cannot be read.
        """
        if self._keys is None:
            return {}
        found = {provider: await self._find(self._keys, user, provider) for provider in set(providers)}
        return {provider: key for provider, key in found.items() if key is not None}

    async def _find(self, keys: ProviderKeys, user: str, provider: str) -> str | None:
        now = time.monotonic()
        known = self._known.get((user, provider))
        if known is not None and known[0] > now:
            return known[1]
        key = await keys.reveal(user, provider)
        self._known[user, provider] = (now + KEPT, key)
        self._known.move_to_end((user, provider))
        while len(self._known) > MOST_KEYS:
            self._known.popitem(last=False)
        return key
