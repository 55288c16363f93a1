"""Limits of requests and tokens: of users and keys, of providers and models, over all instances.

One question to Redis answers for a caller and for the model that is asked first. Where a limit is far, what an
instance was granted beyond its need lets the next calls pass without a question.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import anyio
from redis.exceptions import RedisError

from runtime.errors import TooMany, Unreachable
from runtime.services.ai.allowance import MOST, SCRIPT, Counters
from runtime.services.away import answering
from runtime.spec.units import Rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.ai.spec import AiLimits
    from runtime.storage.wire import WiredRedis

logger = logging.getLogger("runtime.ai")

FRESH: Final = 1.0
"""Seconds for which what was granted may be used."""
PATIENCE: Final = 0.5
"""Seconds that a call waits for Redis."""
AWAY: Final = 1.0
"""Seconds before Redis is asked again after it failed to answer."""
QUESTIONS: Final = 8
"""Questions to Redis at the same time; what one is granted may do for those that wait."""
LIVES: Final = 30
"""Seconds for which an instance that has not asked is still counted as one."""

Policy = Literal["fail_closed", "local_share"]


class Grant:
    """What this instance may still have of one limit without asking.

    Args:
        name: for messages: `requests of the provider openai`.
    """

    __slots__ = ("index", "key", "limit", "name", "spare", "until")

    def __init__(self, key: str, name: str, limit: Rate) -> None:
        self.key = key
        self.name = name
        self.limit = limit
        self.spare = 0
        """Below zero where calls took more tokens than had been asked for."""
        self.index = -1
        self.until = 0.0


class Need(NamedTuple):
    """What a call needs of one limit."""

    grant: Grant
    amount: int
    tokens: bool


class Limits:
    """Counts requests and tokens.

    Args:
        redis: where instances share the counts; None counts in this process alone.
        prefix: of its keys, `rt:core:ai:`.
        instance: names this one among all.
        policy: what happens while Redis is away.
    """

    def __init__(self, redis: WiredRedis | None, prefix: str, *, instance: str, policy: Policy = "fail_closed") -> None:
        self.policy: Policy = policy
        self._redis = redis
        self._script = redis.register_script(SCRIPT) if redis is not None else None
        self._prefix = prefix
        self._instance = instance
        self._instances = 1
        self._grants: OrderedDict[str, Grant] = OrderedDict()
        self._own = Counters()
        self._ask_after = 0.0
        self.away = False
        """Whether the counts should be shared and are not."""
        self._asking = asyncio.Semaphore(QUESTIONS)
        self.asked = 0
        """Questions to Redis."""

    def needs(self, kind: str, who: str, limits: AiLimits, tokens: int) -> list[Need]:
        """What a call needs of someone's limits.

        Args:
            kind: `user`, `key`, `provider` or `model`.
            tokens: in and out, as many as it may come to.
        """
        found = []
        if limits.requests is not None:
            found.append(Need(self._grant(kind, who, "requests", limits.requests), 1, False))
        if limits.tokens is not None:
            found.append(Need(self._grant(kind, who, "tokens", limits.tokens), tokens, True))
        return found

    async def take(self, caller: Sequence[Need], model: Sequence[Need]) -> TooMany | None:
        """Counts a call.

        Args:
            caller: of whoever asks.
            model: of the provider and the model that are asked.

        Returns:
            The refusal of the model, which another may be asked instead of; None where all is granted.

        Raises:
            TooMany: a limit of the caller is reached.
            Unreachable: Redis is away, and limits fail closed.
        """
        caller, model = _left(caller, model)
        if not caller and not model:
            return None
        if self._script is None:
            return self._alone(caller, model, 1)
        async with self._asking:
            caller, model = _left(caller, model)  # what others were granted meanwhile may do
            if not caller and not model:
                return None
            try:
                return await self._ask(caller, model)
            except Unreachable:
                if self.policy == "fail_closed":
                    raise
                return self._alone(caller, model, self._instances)

    def settle(self, needs: Sequence[Need], tokens: int) -> None:
        """Corrects what was counted by what a call did take."""
        if self.away:
            return  # it was not counted where others could have it
        for need in needs:
            if need.tokens:
                need.grant.spare += min(need.amount, need.grant.limit.count) - tokens

    async def run(self) -> None:
        """Gives back what is not used, until it is cancelled."""
        while True:
            await asyncio.sleep(FRESH)
            now = time.monotonic()
            left = [grant for grant in self._grants.values() if grant.spare and grant.until < now]
            if left and self._script is not None and now >= self._ask_after:
                try:
                    await self._ask([Need(grant, 0, False) for grant in left[:500]], [])
                except (Unreachable, TooMany):
                    continue

    def _grant(self, kind: str, who: str, what: str, limit: Rate) -> Grant:
        key = f"{kind}:{who}:{what}:{limit.seconds:g}"
        grant = self._grants.get(key)
        if grant is None or grant.limit != limit:
            grant = self._grants[key] = Grant(key, f"{what} of the {kind} {who}", limit)
            if len(self._grants) > MOST:
                self._grants.popitem(last=False)
        else:
            self._grants.move_to_end(key)
        return grant

    async def _ask(self, caller: Sequence[Need], model: Sequence[Need]) -> TooMany | None:
        needs = [*caller, *model]
        answer = await self._answer(needs, len(caller))
        self._instances = answer[0]
        now, refused = time.monotonic(), None
        for place, need in enumerate(needs):
            granted, wait, index = answer[1 + place * 3 : 4 + place * 3]
            if granted >= 0:
                need.grant.spare += granted - min(need.amount, need.grant.limit.count)
                need.grant.index = index
                need.grant.until = now + min(FRESH, wait / 1000)
            elif granted == -1 and refused is None:
                refused = _refusal(need, wait / 1000)
                if place < len(caller):
                    raise refused
        return refused

    async def _answer(self, needs: Sequence[Need], first: int) -> list[int]:
        assert self._script is not None  # noqa: S101 - asked only where there is one
        assert self._redis is not None  # noqa: S101
        if time.monotonic() < self._ask_after:
            raise self._unreachable()
        keys = [f"{self._prefix}instances"]
        arguments: list[str | int | float] = [self._instance, first, LIVES]
        for need in needs:
            grant = need.grant
            keys.append(f"{self._prefix}{grant.key}")
            arguments += [grant.limit.count, int(grant.limit.seconds * 1000), need.amount, grant.spare, grant.index]
            grant.spare = 0
        self.asked += 1
        try:
            with answering(self._redis), anyio.fail_after(PATIENCE):
                found: list[int] = await self._script(keys, arguments)
        except (Unreachable, TimeoutError, RedisError) as error:
            self._ask_after = time.monotonic() + AWAY
            if not self.away:
                self.away = True
                logger.warning("limits cannot be counted over all instances", extra={"policy": self.policy})
            raise error if isinstance(error, Unreachable) else self._unreachable() from error
        if self.away:
            self.away = False
            logger.info("limits are counted over all instances again")
        return found

    def _alone(self, caller: Sequence[Need], model: Sequence[Need], instances: int) -> TooMany | None:
        """Counts in this process, its share of each limit."""
        now = time.time()
        for group in (caller, model):
            for need in group:
                limit = need.grant.limit
                share = Rate(max(1, limit.count // max(1, instances)), limit.seconds)
                if wait := self._own.take(need.grant.key, share, need.amount, now):
                    refused = _refusal(need, wait)
                    if group is caller:
                        raise refused
                    return refused
        return None

    def _unreachable(self) -> Unreachable:
        return Unreachable(
            "storage.redis",
            "Redis",
            "limits cannot be counted",
            remedy="Try again; `ai.limits.without_redis: local_share` lets calls pass meanwhile.",
        )


def _left(caller: Sequence[Need], model: Sequence[Need]) -> tuple[Sequence[Need], Sequence[Need]]:
    """What Redis has to be asked for; the model's only with the caller's."""
    now = time.monotonic()
    caller = () if _spend(caller, now) else caller
    return caller, () if not caller and _spend(model, now) else model


def _spend(needs: Sequence[Need], now: float) -> bool:
    """Takes needs of what was granted before, if all of it is there."""
    for need in needs:
        if need.grant.spare < need.amount or need.grant.until < now:
            return False
    for need in needs:
        need.grant.spare -= need.amount
    return True


def _refusal(need: Need, wait: float) -> TooMany:
    limit = need.grant.limit
    return TooMany(
        f"more than {limit.count} {need.grant.name} in {limit.seconds:g} s",
        retry_after=wait,
        remedy="Wait as long as Retry-After says.",
    )
