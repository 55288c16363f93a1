"""Tokens by kind, and what an attempt at a model came to."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Outcome = Literal[
    "ok",
    "aborted",
    "cut",
    "authentication",
    "rate_limit",
    "overloaded",
    "server_error",
    "timeout",
    "connection",
    "truncated",
    "malformed",
    "context_window",
    "content_filter",
    "invalid_request",
    "not_found",
    "too_large",
]
"""How an attempt ended: `ok`; `aborted`, the caller left; `cut`, we ended it as the money was gone; else the error.

`connection` is an answer that could not be begun, `truncated` one that ended without its terminal event.
"""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens by kind; the kinds do not overlap, so that their sum is all that was used.

    Providers count differently: OpenAI's `prompt_tokens` holds the cached ones and its `completion_tokens` the
    reasoning, Anthropic's `input_tokens` holds no cached one. Whoever reads an answer brings them into this form.

    Args:
        input: tokens in that were neither read from nor written to the provider's cache.
        cached_input: tokens in that the provider had cached.
        cache_write: tokens in that it wrote into its cache.
        output: tokens out that can be seen.
        reasoning: tokens out that were thought.
        estimated: counted by us, because the provider said nothing or the answer was cut short.

    Example:
        >>> Usage(input=10, cached_input=90, output=5).total
        105
    """

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input + self.cached_input + self.cache_write + self.output + self.reasoning


NOTHING: Final = Usage()
"""What an attempt used whose provider did no work: it refused, or was never reached."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was sent to one provider: a row of the ledger of attempts.

    Args:
        call: the call's id, the same over all its attempts.
        number: from 1.
        provider: its name in the spec.
        model: as it was asked for, without the provider; it is what the price goes by.
        outcome: how it ended.
        usage: tokens; `NOTHING` where the provider did no work.
        started: Unix time, seconds.
        duration: seconds until its last byte.
        streamed: whether it was a stream.
        status: the provider's HTTP status; None where there was none.
    """

    call: str
    number: int
    provider: str
    model: str
    outcome: Outcome
    usage: Usage
    started: float
    duration: float
    streamed: bool = False
    status: int | None = None
