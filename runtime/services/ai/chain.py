"""A chain at work: models are asked in their order, each as often as the spec says, until one answers."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Final, TypeVar

from runtime.errors import TooMany
from runtime.services.ai.attempt import Try
from runtime.services.ai.failures import Failure, falls_back
from runtime.services.ai.faults import exhausted
from runtime.services.ai.registry import Closed
from runtime.services.ai.spans import UNTRACED, Untraced
from runtime.services.ai.wire.parts import Unsupported
from runtime.services.retry_after import NEVER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from runtime.services.ai.accounting import Account, Call, Candidate
    from runtime.services.ai.figures import Figures
    from runtime.services.ai.registry import Entry, Registry
    from runtime.services.ai.spec import ChainSpec

logger = logging.getLogger("runtime.ai")

BACKOFF: Final = 0.25
"""Seconds before the second try of a model that does not say how long to wait; each further one is twice as long."""
PATIENCE: Final = 2.0
"""Seconds that a model is waited for at most while another one of the chain can be asked."""
TOO_SHORT: Final = 0.02
"""Seconds of the deadline with which nothing can be begun any more."""

T = TypeVar("T")


class Run:
    """One call on its way through a chain.

    Args:
        call: what is asked, with the candidates in their order.
        account: its books, open.
        registry: which providers may be asked.
        spec: the chain.
        keys: the caller's own keys, by provider.
        streamed: whether the answer is a stream.
        trace: what is traced of it.
    """

    def __init__(
        self,
        call: Call,
        account: Account,
        registry: Registry,
        figures: Figures,
        spec: ChainSpec,
        *,
        keys: Mapping[str, str],
        streamed: bool,
        trace: Untraced = UNTRACED,
    ) -> None:
        self._call = call
        self._account = account
        self._registry = registry
        self._figures = figures
        self._spec = spec
        self._keys = keys
        self._streamed = streamed
        self._trace = trace
        self._ends = time.monotonic() + spec.deadline
        self._tried: list[tuple[str, Failure]] = []
        self._skipped: list[tuple[str, str, float | None]] = []
        self._others = False
        self.attempts = 0
        """Requests that were sent so far."""

    async def first(self, ask: Callable[[Try], Awaitable[T]]) -> T:
        """What the first model says that answers.

        Args:
            ask: makes one attempt, and raises `Failure`; records it only where it succeeds.

        Raises:
            RequestFault: none did; or the request is at fault.
        """
        unsupported: Unsupported | None = None
        limited: TooMany | None = None
        for candidate in self._call.candidates:
            self._others = candidate is not self._call.candidates[-1]
            if self._left() < TOO_SHORT:
                break
            name = f"{candidate.provider}/{candidate.model}"
            try:
                return await self._candidate(candidate, ask)
            except Unsupported as refusal:
                unsupported = refusal
            except TooMany as limit:
                if not self._spec.fallback.rate_limit:
                    raise
                limited = limit
                self._skipped.append((name, limit.message, limit.retry_after))
            except _Skipped as skipped:
                self._skipped.append((name, skipped.closed.reason, skipped.closed.retry_after))
            except Failure as failure:
                self._tried.append((name, failure))
                if not falls_back(failure.kind, self._spec.fallback):
                    break
        if unsupported is not None and not self._tried and not self._skipped:
            raise unsupported
        if limited is not None and not self._tried and len(self._skipped) == 1:
            raise limited
        raise exhausted(self._tried, self._skipped) from (self._tried[-1][1] if self._tried else None)

    async def _candidate(self, candidate: Candidate, ask: Callable[[Try], Awaitable[T]]) -> T:
        """Asks one model, as often as the spec allows; raises its last failure."""
        last: Failure | None = None
        tries = 0
        while True:
            entry = await self._registry.enter(candidate.provider)
            if isinstance(entry, Closed):
                raise last or _Skipped(entry)
            try:
                return await self._once(candidate, entry, ask)
            except _LimitRefused:
                continue
            except Failure as failure:
                last = failure
            tries += 1
            wait = self._wait(last, tries)
            if tries == self._spec.attempts or not last.repeatable or wait > self._longest(last):
                raise last
            await asyncio.sleep(wait)

    async def _once(self, candidate: Candidate, entry: Entry, ask: Callable[[Try], Awaitable[T]]) -> T:
        """One attempt; a failure is recorded and told to the registry."""
        provider = candidate.provider
        client = self._registry.clients[provider]
        try:
            models = client.models
            admission = await self._account.admit(candidate)
        except BaseException:
            await self._registry.left(provider, entry)
            raise
        self.attempts += 1
        name = f"{provider}/{candidate.model}"
        limit = admission.max_output
        if self._call.max_output is None:
            limit = self._registry.ceilings.fitting(name, limit)
        attempt = Try(
            self._call,
            self._account,
            self._figures,
            number=self.attempts,
            candidate=candidate,
            provider=models,
            entry=entry,
            key=self._keys.get(provider),
            limit=limit,
            affordable=admission.max_output,
            streamed=self._streamed,
            span=self._trace.attempt(
                candidate, client.spec, number=self.attempts, limit=limit, streamed=self._streamed
            ),
        )
        given = min(client.spec.timeout, self._left())
        try:
            async with asyncio.timeout(given):
                answer = await ask(attempt)
        except TimeoutError as error:
            failure = Failure("timeout", f"{provider} did not answer within {given:.3g} s")
            await attempt.record("timeout")
            if given >= min(client.spec.timeout, self._spec.deadline) / 2:  # it had time enough to be blamed
                await self._registry.failed(provider, entry, failure)
            else:
                await self._registry.left(provider, entry)
            raise failure from error
        except Failure as failure:
            self._log(attempt, failure)
            await attempt.record(failure.kind, status=failure.status)
            await self._registry.failed(provider, entry, failure)
            if self._call.max_output is None and self._registry.ceilings.learn(name, limit, failure):
                raise _LimitRefused from failure
            raise
        except Unsupported:
            self.attempts -= 1  # nothing was sent
            if attempt.span is not None:
                attempt.span.discard()
            await self._registry.left(provider, entry)
            raise
        except asyncio.CancelledError:
            await attempt.record("aborted")
            await self._registry.left(provider, entry)
            raise
        await self._registry.succeeded(provider, entry)
        return answer

    def _longest(self, failure: Failure) -> float:
        """Seconds that may be waited for the same model."""
        left = self._left() - TOO_SHORT
        return min(left, PATIENCE) if self._others and falls_back(failure.kind, self._spec.fallback) else left

    def _left(self) -> float:
        return self._ends - time.monotonic()

    def _wait(self, failure: Failure, tries: int) -> float:
        if failure.retry_after is not None:
            return failure.retry_after
        if not failure.repeatable:
            return NEVER
        return BACKOFF * 2.0 ** (tries - 1) * (0.5 + random.random() / 2)  # noqa: S311

    def _log(self, attempt: Try, failure: Failure) -> None:
        about = {"call": self._call.id, "attempt": attempt.number, "kind": failure.kind, "status": failure.status}
        logger.info("%s failed: %s", attempt.name, failure.message, extra=about)


class _LimitRefused(Exception):  # noqa: N818 - not an error: the model is asked again, without our limit
    pass


class _Skipped(Exception):  # noqa: N818 - not an error: the next model is asked
    def __init__(self, closed: Closed) -> None:
        super().__init__(closed.reason)
        self.closed = closed
