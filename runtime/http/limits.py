"""Limits by caller, shared over all instances through Redis.

Asking Redis at each request would cost more than many a request itself. So an instance may let through a
tenth of what it last saw left, within a second, before it asks again and reports what it has let through:
far from the limit one question answers for dozens of requests, near it each request asks. Ten instances
together cannot pass the limit by that.

When Redis does not answer, each instance goes on counting by itself, and its health says so.
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

import anyio
from litestar.types import ASGIApp, Receive, Scope, Send
from redis.exceptions import RedisError

from runtime.errors import TooMany
from runtime.http.access import caller_of
from runtime.http.headers import add_to_answer
from runtime.http.live import Live
from runtime.http.window import MOST_CALLERS, SCRIPT, Verdict, Windows
from runtime.spec.units import Rate

if TYPE_CHECKING:
    from redis.asyncio import Redis

SHARE: Final = 10
FRESH: Final = 1.0
"""Seconds for which what Redis said is good."""

PATIENCE: Final = 0.25
"""Seconds that a request waits for Redis before the limit is counted without it."""

AWAY: Final = 1.0
"""Seconds before Redis is asked again after it failed to answer."""

_log = logging.getLogger("runtime.http")


class _Lease:
    """What an instance may let one caller do before it asks Redis again."""

    __slots__ = ("asked", "limit", "passed", "spare", "unnoted", "verdict")

    def __init__(self, limit: Rate) -> None:
        self.limit = limit
        self.passed = 0
        """What was let through since Redis was asked, and has to be told of."""
        self.unnoted = 0
        """The same of the counts that hold while Redis is away."""
        self.spare = 0
        self.asked = -FRESH
        self.verdict = Verdict(True, 0, 0.0)

    def verdict_at(self, now: float) -> Verdict | None:
        """What can be said without asking; None where Redis has to be asked."""
        age = now - self.asked
        if age >= min(FRESH, self.verdict.reset):
            return None
        if self.verdict.allowed:
            if self.spare <= 0:
                return None
            self.spare -= 1
            self.passed += 1
            self.unnoted += 1
        allowed, remaining, reset = self.verdict
        return Verdict(allowed, remaining - self.passed, reset - age)


class Limiter:
    """Counts what callers do.

    Args:
        redis: where instances share the counts; None counts in this process alone.
        prefix: of its keys, `rt:{name}:limit:`.

    Example:
        >>> verdict = await Limiter(client, "rt:{core}:limit:").hit("key:operator", Rate(600, 60.0))
    """

    def __init__(self, redis: Redis | None, prefix: str) -> None:
        self._script = redis.register_script(SCRIPT) if redis is not None else None
        self._prefix = prefix
        self._leases: OrderedDict[str, _Lease] = OrderedDict()
        self._own = Windows()
        self._ask_after = 0.0
        self.shared = redis is not None
        """Whether instances share the counts at this moment."""

    @property
    def alone(self) -> bool:
        """Whether it should share the counts and cannot."""
        return self._script is not None and not self.shared

    async def hit(self, who: str, limit: Rate) -> Verdict:
        """Counts one request of a caller, if it may pass.

        Never raises, and never waits longer than `PATIENCE`.
        """
        return self.hit_at_once(who, limit) or await self._shared(who, limit) or self._alone(who, limit)

    def hit_at_once(self, who: str, limit: Rate) -> Verdict | None:
        """As `hit`, where nobody has to be asked; None, and nothing counted, where somebody has."""
        if self._script is None:
            return self._alone(who, limit)
        return self._lease(who, limit).verdict_at(time.monotonic())

    def _alone(self, who: str, limit: Rate) -> Verdict:
        return self._own.hit(who, limit, time.time())

    async def _shared(self, who: str, limit: Rate) -> Verdict | None:
        if time.monotonic() < self._ask_after:
            return None
        lease = self._lease(who, limit)
        passed, lease.passed, lease.spare = lease.passed, 0, 0
        self._own.add(who, limit, time.time(), lease.unnoted)  # counting goes on from here, should Redis go away
        lease.unnoted = 0
        verdict = await self._ask(who, limit, passed)
        if verdict is None:
            lease.passed += passed
            return None
        lease.unnoted += verdict.allowed
        lease.verdict = verdict
        lease.spare = verdict.remaining // SHARE
        lease.asked = time.monotonic()
        return verdict

    def _lease(self, who: str, limit: Rate) -> _Lease:
        lease = self._leases.get(who)
        if lease is None or lease.limit != limit:
            lease = self._leases[who] = _Lease(limit)
            if len(self._leases) > MOST_CALLERS:
                self._leases.popitem(last=False)
        self._leases.move_to_end(who)
        return lease

    async def _ask(self, who: str, limit: Rate, passed: int) -> Verdict | None:
        assert self._script is not None  # noqa: S101 - asked only where there is one
        window = int(limit.seconds * 1000)
        try:
            with anyio.fail_after(PATIENCE):
                answer = await self._script([f"{self._prefix}{who}:{window}"], [limit.count, window, passed])
        except (RedisError, OSError, TimeoutError) as error:
            self._ask_after = time.monotonic() + AWAY
            if self.shared:
                self.shared = False
                _log.warning("limits are counted by this instance alone", extra={"reason": type(error).__name__})
            return None
        if not self.shared:
            self.shared = True
            _log.info("limits are shared again")
        allowed, remaining, reset = map(int, answer)
        return Verdict(bool(allowed), remaining, reset / 1000)


class RateLimit:
    """Limits each caller to `api.rate_limit`, and tells it where it stands in `RateLimit-*`.

    A route that must always answer, such as a probe, declares `opt={"unlimited": True, …}`.
    """

    def __init__(self, app: ASGIApp, limiter: Limiter, live: Live) -> None:
        self._app = app
        self._limiter = limiter
        self._live = live

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["route_handler"].opt.get("unlimited"):
            return self._app(scope, receive, send)
        caller = caller_of(scope)
        limit = caller.rate or self._live.rate_limit
        verdict = self._limiter.hit_at_once(caller.id, limit)
        if verdict is None:
            return self._asked(scope, receive, send, caller.id, limit)
        _hold(scope, limit, verdict)
        return self._app(scope, receive, send)

    async def _asked(self, scope: Scope, receive: Receive, send: Send, who: str, limit: Rate) -> None:
        _hold(scope, limit, await self._limiter.hit(who, limit))
        await self._app(scope, receive, send)


def _hold(scope: Scope, limit: Rate, verdict: Verdict) -> None:
    """Tells the caller where it stands.

    Raises:
        TooMany: it may not pass.
    """
    add_to_answer(
        scope,
        (b"ratelimit-limit", b"%d" % limit.count),
        (b"ratelimit-remaining", b"%d" % max(0, verdict.remaining)),
        (b"ratelimit-reset", b"%d" % math.ceil(max(0.0, verdict.reset))),
    )
    if not verdict.allowed:
        raise TooMany(
            f"more than {limit.count} requests in {limit.seconds:g} s",
            retry_after=verdict.reset,
            remedy="Wait as long as Retry-After says.",
        )
