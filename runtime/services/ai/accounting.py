"""What a call to a model needs of whoever keeps the books: limits, safety, budgets, credit, and the ledger of attempts.

The order of a call:

    >>> account = await accounting.open(call)              # refused here: nothing has been sent    # doctest: +SKIP
    >>> try:                                                                                        # doctest: +SKIP
    ...     for number, candidate in enumerate(call.candidates, 1):
    ...         try:
    ...             await account.admit(candidate)         # TooMany: pass on to the next candidate
    ...         except TooMany:
    ...             continue
    ...         … send; of a stream, after each chunk: if account.spent(usage): cut it …
    ...         await account.record(Attempt(...))         # once, whatever became of it
    ... finally:
    ...     await account.close()                          # settles; once, and after a cancellation too

`record` and `close` wait for nobody: what they note is on its way to the database, and survives a kill of the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from runtime.errors import InsufficientCredit, RequestFault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from runtime.services.ai.usage import Attempt, Usage


class Refused(RequestFault):
    """A text was flagged as unsafe. It is the caller's alone: no breaker counts it, no other provider is tried.

    Args:
        categories: why, as the check named it: `violence`.
    """

    status = 400
    title = "Refused as unsafe"

    def __init__(self, message: str, *, categories: Sequence[str] = (), remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.categories = tuple(categories)
        self.verdict: Any = None
        """What the check said, for the ledger."""


class BudgetSpent(InsufficientCredit):
    """A budget has not enough left for the call.

    Args:
        budget: its name in the spec.
        retry_after: seconds until its next length of time begins.
    """

    title = "The budget is spent"

    def __init__(self, message: str, *, budget: str, retry_after: float, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.budget = budget
        self.retry_after = retry_after


class TooExpensive(RequestFault):
    """The question alone may cost more than one answer may (`ai.max_cost`)."""

    status = 402
    title = "It may cost too much"


class Candidate(msgspec.Struct, frozen=True):
    """A model that may be asked.

    Args:
        provider: its name in the spec.
        model: without the provider.
        own_key: it is asked with a key of the caller's own: the caller pays the provider, not us.
    """

    provider: str
    model: str
    own_key: bool = False


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks.

    Args:
        id: time-ordered and unique; `runtime.services.names.time_ordered()`.
        user: whose credits and budgets it uses: `Caller.account`.
        key: who sent it: `Caller.id`. Budgets and limits of a key go by it.
        key_credits: the most that the key may spend of the user's, over all its time; None for all there are.
        candidates: what may be asked, in the order of the chain; never empty.
        chain: the chain's name; None where a model was named.
        texts: what the user's own messages say, for the input check; empty where nothing is to be checked.
        input_bytes: of all that goes to the model (messages, tools, schemas; not the data of pictures), from which
            tokens are estimated.
        images: how many pictures go with it.
        max_output: the caller's own limit of tokens out, of all choices together; None where it names none.
        operation: `chat`, `embeddings`, `moderation`.
    """

    id: str
    user: str
    key: str
    key_credits: Decimal | None = None
    candidates: tuple[Candidate, ...]
    chain: str | None = None
    texts: tuple[str, ...] = ()
    input_bytes: int = 0
    images: int = 0
    max_output: int | None = None
    operation: str = "chat"


class Admission(msgspec.Struct, frozen=True):
    """What a candidate may do.

    Args:
        max_output: the most tokens out that the money allows: set it as the request's limit where that has none, or
            a higher one. None where nothing limits it (the price of output is nothing, or the caller pays by itself).
        cost_limit: the same in nano-dollars, for the header and the log.
    """

    max_output: int | None
    cost_limit: int


class Account(Protocol):
    """The books of one call. Used by one task at a time."""

    @property
    def cost(self) -> int:
        """What the recorded attempts did cost, in nano-dollars; for `X-Runtime-Cost`."""
        ...

    @property
    def reports(self) -> Mapping[str, Any] | None:
        """What the input check flagged and let through (`on_flag: report`); None where it flagged nothing."""
        ...

    async def admit(self, candidate: Candidate) -> Admission:
        """Whether a candidate may be asked now: its provider's and model's limits. Ask before each attempt, also before
        a second one at the same candidate.

        Raises:
            TooMany: a limit of the provider or model is reached; another candidate may still do.
            Unreachable: limits cannot be counted (`limits.without_redis: fail_closed`).
        """
        ...

    def spent(self, usage: Usage) -> bool:
        """Whether the money that was reserved is gone: end the stream now.

        Cheap enough for every chunk (about a microsecond).

        Args:
            usage: of the attempt that runs, so far; where the provider has told nothing yet, what
                `tokens.quarters` makes of what has come.
        """
        ...

    async def record(self, attempt: Attempt) -> int:
        """Writes an attempt into the ledger. Exactly once an attempt; waits for nobody.

        Returns:
            What it costs, in nano-dollars.
        """
        ...

    async def check_output(self, text: str) -> Mapping[str, Any] | None:
        """Checks an answer (`ai.safety.output`) before it is handed out.

        Returns:
            What was flagged and is to be reported; None where nothing was, or no check is declared.

        Raises:
            Refused: it was flagged, and `on_flag` is `reject`.
            Unreachable: the check cannot be made, and `on_flag` is `reject`.
        """
        ...

    async def close(self) -> None:
        """Settles what was spent and gives back the rest. Once; a second time changes nothing. May be called from a
        task that is being cancelled: it waits for nobody."""
        ...


class Accounting(Protocol):
    """Keeps the books of all calls."""

    async def open(self, call: Call) -> Account:
        """Begins a call: counts it against the caller's limits, reserves the most that it may cost against each budget
        that applies and against the credits, and has its texts checked.

        Raises:
            TooMany: a limit of the user or key is reached.
            BudgetSpent, InsufficientCredit: there is not enough money left.
            TooExpensive: the question alone may cost more than `ai.max_cost`.
            PriceUnknown: a candidate has no price; the message names the override to add.
            Refused: a text was flagged, and `on_flag` is `reject`.
            Unreachable: limits, money or safety cannot be decided.
        """
        ...


class Models(Protocol):
    """What the safety checks ask of the providers. Its calls keep their own books (`Verdict.cost`): they go through no
    accounting, no chain and no safety check, and raise the provider's error as it is."""

    async def complete(self, provider: str, model: str, messages: Sequence[Mapping[str, str]]) -> tuple[str, Usage]:
        """Asks a chat model, at temperature 0 where it has one.

        Args:
            messages: each with `role` (`system`, `user`) and `content`.

        Returns:
            The text of its answer, and what it used.
        """
        ...

    async def moderate(
        self, provider: str, model: str | None, texts: Sequence[str]
    ) -> tuple[list[Mapping[str, Any]], str, Usage]:
        """Asks a provider's moderation.

        Args:
            model: None for the provider's usual one.

        Returns:
            For each text a result in OpenAI's form (`flagged`, `categories`, `category_scores`; Mistral's answer has no
            `flagged`: it is whether any category holds), the model that was asked, and what was used.
        """
        ...
