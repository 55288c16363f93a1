"""One attempt: a request to one provider, which has exactly one row in the ledger, whatever becomes of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runtime.services.ai import tokens
from runtime.services.ai.usage import NOTHING, Attempt, Usage

if TYPE_CHECKING:
    from runtime.services.ai.accounting import Account, Call, Candidate
    from runtime.services.ai.figures import Figures
    from runtime.services.ai.provider import Provider
    from runtime.services.ai.registry import Entry
    from runtime.services.ai.spans import AttemptSpan
    from runtime.services.ai.usage import Outcome


class Try:
    """An attempt that is under way.

    Args:
        number: from 1, of the call.
        limit: the most tokens out that are asked for, of all choices; None for as many as the model has.
        affordable: the most that the money allows; None for any number.
        key: the caller's own; None for the environment's.
        entry: as what the registry let it through.
        span: what is traced of it; None for nothing.
    """

    def __init__(
        self,
        call: Call,
        account: Account,
        figures: Figures,
        *,
        number: int,
        candidate: Candidate,
        provider: Provider,
        entry: Entry,
        key: str | None,
        limit: int | None,
        affordable: int | None,
        streamed: bool,
        span: AttemptSpan | None = None,
    ) -> None:
        self.number = number
        self.candidate = candidate
        self.provider = provider
        self.entry = entry
        self.key = key
        self.limit = limit
        self._affordable = affordable
        self._call = call
        self._account = account
        self._figures = figures
        self._streamed = streamed
        self.span = span
        self._started = time.time()
        self._clock = time.monotonic()
        self._told: Usage | None = None
        self._quarters = 0
        self.outcome: Outcome | None = None
        """What it came to, once that is recorded."""

    @property
    def name(self) -> str:
        """`provider/model`."""
        return f"{self.candidate.provider}/{self.candidate.model}"

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._clock

    def came(self, text: str, usage: Usage | None, data: bytes = b"") -> None:
        """Notes what has come of the answer.

        Args:
            usage: of the whole attempt so far, where the provider told it.
            data: as it goes to the caller.
        """
        if self.span is not None:
            self.span.came(data, text)
        if usage is not None:
            self._told = usage
        if text:
            self._quarters += tokens.quarters(text)

    def used(self, *, complete: bool = False) -> Usage:
        """What has been used so far.

        Args:
            complete: the answer has come to its end, so that what the provider told is all.
        """
        told = self._told
        if complete and told is not None:
            return told
        counted = -(-self._quarters // 4)
        if told is None:
            return Usage(input=-(-self._call.input_bytes // 4), output=counted, estimated=True)
        return Usage(
            input=told.input,
            cached_input=told.cached_input,
            cache_write=told.cache_write,
            output=max(told.output, counted - told.reasoning),
            reasoning=told.reasoning,
            estimated=True,
        )

    def spent(self) -> bool:
        """Whether the money is gone.

        It lasts for what is `affordable`, and the question was reserved for at twice what is likely: until then there
        is no need to reckon, unless the provider has told what the question did cost.
        """
        if self._told is None and (self._affordable is None or self._quarters <= 4 * self._affordable):
            return False
        return self._account.spent(self.used())

    async def record(self, outcome: Outcome, usage: Usage = NOTHING, *, status: int | None = None) -> None:
        """Writes the row of the ledger; the second call does nothing."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        duration = self.seconds
        attempt = Attempt(
            call=self._call.id,
            number=self.number,
            provider=self.candidate.provider,
            model=self.candidate.model,
            outcome=outcome,
            usage=usage,
            started=self._started,
            duration=duration,
            streamed=self._streamed,
            status=status,
        )
        self._figures.attempt(attempt, self._call.operation)
        if self.span is not None:
            self.span.end(attempt)
        await self._account.record(attempt)
