"""A breaker: a provider that fails is left alone for a while, then probed by one message."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.spec.fields import Breaker as BreakerSpec

State = Literal["closed", "open", "probing"]


class Breaker:
    """Counts the failures of one provider, in this process.

    Args:
        spec: after how many it opens, and for how long.
        clock: seconds, only going forward.

    Example:
        >>> breaker = Breaker(spec)                                                            # doctest: +SKIP
        >>> if breaker.admits():
        ...     breaker.note(ok=await call())
    """

    def __init__(self, spec: BreakerSpec, clock: Callable[[], float] = time.monotonic) -> None:
        self.spec = spec
        self._clock = clock
        self._failures: deque[float] = deque()
        self._open_until: float | None = None
        self._probe_until = 0.0

    @property
    def state(self) -> State:
        if self._open_until is None:
            return "closed"
        return "open" if self._clock() < self._open_until else "probing"

    def admits(self) -> bool:
        """Whether a call may go out; of those that meet a breaker whose time is over, one may, as a probe."""
        match self.state:
            case "closed":
                return True
            case "open":
                return False
        now = self._clock()
        if now < self._probe_until:
            return False
        self._probe_until = now + self.spec.cooldown  # a probe that never reports back holds nobody up for longer
        return True

    @property
    def wait(self) -> float:
        """Seconds until it is worth another try."""
        until = max(self._open_until or 0.0, self._probe_until)
        return max(0.0, until - self._clock())

    def note(self, *, ok: bool) -> None:
        """Takes what became of a call."""
        now = self._clock()
        if ok:
            self._failures.clear()
            self._open_until, self._probe_until = None, 0.0
            return
        while self._failures and self._failures[0] <= now - self.spec.window:
            self._failures.popleft()
        self._failures.append(now)
        if self._open_until is not None or len(self._failures) >= self.spec.failures:
            self._open_until, self._probe_until = now + self.spec.cooldown, 0.0
