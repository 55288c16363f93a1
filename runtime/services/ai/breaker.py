"""The states of providers: what changes them, and where instances share them.

active    → cooldown   so many failures within the window
cooldown  → active     after the cooldown one call is let through, and it succeeds
cooldown  → cooldown   that call fails
any       → disabled   the environment's own key was refused
disabled  → active     a probe succeeds, or the key was changed
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.spec.fields import Breaker

State = Literal["active", "cooldown", "disabled"]

PROBE: Final = 30.0
"""Seconds that the one call of a provider in cooldown may take before another is let through."""


class Condition(msgspec.Struct, frozen=True):
    """How a provider is.

    Args:
        until: Unix time at which its cooldown ends.
        reason: why it is not active.
    """

    state: State = "active"
    until: float = 0.0
    reason: str = ""


ACTIVE: Final = Condition()


class Conditions(Protocol):
    """Where the states of providers are kept. Every method answers soon, and none raises."""

    def __getitem__(self, provider: str) -> Condition:
        """What is known here of a provider; costs nothing."""
        ...

    async def refresh(self) -> None:
        """Learns what other instances know."""
        ...

    async def failed(self, provider: str, breaker: Breaker, reason: str) -> Condition:
        """Counts a failure."""
        ...

    async def take_probe(self, provider: str) -> bool:
        """Whether this call may be the one that tries a provider whose cooldown is over."""
        ...

    async def restore(self, provider: str) -> None:
        """Forgets failures: it is active again."""
        ...

    async def disable(self, provider: str, reason: str) -> None:
        """Its key was refused."""
        ...

    async def release(self, provider: str) -> None:
        """The call that tried it came to nothing: another may."""
        ...


class LocalConditions:
    """The states as one instance sees them.

    Args:
        clock: Unix time.

    Example:
        >>> conditions = LocalConditions()
        >>> conditions["openai"].state
        'active'
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.known: dict[str, Condition] = {}
        self.changes = 0
        """How often `known` was changed here."""
        self._failures: dict[str, deque[float]] = {}
        self._probing: dict[str, float] = {}

    def __getitem__(self, provider: str) -> Condition:
        return self.known.get(provider, ACTIVE)

    async def refresh(self) -> None:
        """There is nobody else."""

    async def failed(self, provider: str, breaker: Breaker, reason: str) -> Condition:
        now = self._clock()
        known = self[provider]
        self._probing.pop(provider, None)
        if known.state == "disabled" or known.until > now:
            return known
        failures = self._failures.setdefault(provider, deque())
        failures.append(now)
        while failures and failures[0] <= now - breaker.window:
            failures.popleft()
        if known.state == "cooldown" or len(failures) >= breaker.failures:
            failures.clear()
            self.changes += 1
            self.known[provider] = Condition("cooldown", now + breaker.cooldown, reason)
        return self[provider]

    async def take_probe(self, provider: str) -> bool:
        now = self._clock()
        if self[provider].until > now or self._probing.get(provider, 0.0) > now:
            return False
        self._probing[provider] = now + PROBE
        return True

    async def restore(self, provider: str) -> None:
        self.changes += 1
        self.known.pop(provider, None)
        self._failures.pop(provider, None)
        self._probing.pop(provider, None)

    async def disable(self, provider: str, reason: str) -> None:
        self.changes += 1
        self._probing.pop(provider, None)
        self.known[provider] = Condition("disabled", 0.0, reason)

    async def release(self, provider: str) -> None:
        self._probing.pop(provider, None)
