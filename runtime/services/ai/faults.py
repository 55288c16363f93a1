"""What a caller is told when no model has answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtime.errors import Invalid, NotFound, RequestFault, TooLarge, TooMany
from runtime.services.retry_after import NEVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.ai.failures import Failure, Kind


class ProviderFault(RequestFault):
    """No model answered.

    Args:
        code: the kind of the last failure, or `unavailable`.
        status: 502; 503 where no provider could be asked, 504 where the time was over.
        retry_after: seconds until it makes sense to ask again.
    """

    status = 502
    title = "No model answered"

    def __init__(self, message: str, *, code: str, status: int = 502, retry_after: float | None = None) -> None:
        super().__init__(message, remedy="Ask again later, or ask another model.")
        self.status = status  # of this one, where the class has the usual one
        self.code = code
        self.retry_after = retry_after


class ProviderBusy(TooMany):
    """Every model that could answer is at a limit of its provider, or of ours."""

    title = "The providers are at their limits"


class ContextTooLong(Invalid):
    """The request is longer than the model can read."""

    title = "Too long for the model"


class ContentFiltered(Invalid):
    """The provider's own filter refused the request."""

    title = "Refused by the provider's content filter"


class OwnKeyRefused(Invalid):
    """The provider refuses the caller's own key."""

    title = "Your own key is refused"


CODES: Final[dict[type[RequestFault], str]] = {
    ContextTooLong: "context_length_exceeded",
    ContentFiltered: "content_filter",
    OwnKeyRefused: "invalid_provider_key",
    ProviderBusy: "rate_limit_exceeded",
}
"""OpenAI's code for a fault, or one in its manner."""

LONGEST_WAIT: Final = 3600.0
"""Seconds that a caller is told to wait at most: what a provider says may be absurd."""

_WORDS: Final[dict[Kind, str]] = {
    "authentication": "it refuses the environment's key",
    "rate_limit": "it is at its limit",
    "overloaded": "it is overloaded",
    "server_error": "it failed",
    "timeout": "it did not answer in time",
    "connection": "it cannot be reached",
    "truncated": "its answer broke off",
    "malformed": "its answer cannot be understood",
    "not_found": "it does not have this model",
}
"""What is said of a provider in place of its own words, which may name hosts or keys."""


def caller_fault(model: str, failure: Failure) -> RequestFault | None:
    """The caller's own fault, in the provider's words; None where it is the provider's."""
    message = f"{model}: {failure.message}"
    if failure.kind == "invalid_request":
        return Invalid(message)
    if failure.kind == "context_window":
        return ContextTooLong(message, remedy="Send less, or ask a model with a larger context.")
    if failure.kind == "content_filter":
        return ContentFiltered(message)
    if failure.kind == "too_large":
        return TooLarge(message)
    if failure.kind == "authentication" and failure.own_key:
        return OwnKeyRefused(
            f"{model}: the provider refuses your own key",
            remedy="Store another with PUT /v1/provider-keys/{provider}, or delete it.",
        )
    return None


def exhausted(tried: Sequence[tuple[str, Failure]], skipped: Sequence[tuple[str, str, float | None]]) -> RequestFault:
    """What a chain that came to its end is answered with.

    Args:
        tried: each model that failed and its last failure.
        skipped: each model that was not asked, why, and after how many seconds it may be.
    """
    if tried and (fault := caller_fault(*tried[-1])) is not None:
        return fault
    words = [f"{model}: {_WORDS.get(failure.kind, failure.kind)}" for model, failure in tried]
    words += [f"{model}: {why}" for model, why, _ in skipped]
    message = "no model answered: " + "; ".join(words)
    waits = [failure.retry_after for _, failure in tried if failure.retry_after is not None]
    waits += [wait for _, _, wait in skipped if wait is not None]
    wait = min((min(wait, LONGEST_WAIT) for wait in waits if wait != NEVER), default=None)
    kinds = {failure.kind for _, failure in tried}
    if not tried:
        return ProviderFault(message, code="unavailable", status=503, retry_after=wait)
    if kinds == {"rate_limit"}:
        return ProviderBusy(message, retry_after=1.0 if wait is None else wait)
    if kinds == {"not_found"}:
        return NotFound(message)
    last = tried[-1][1].kind
    status = {"timeout": 504, "overloaded": 503}.get(last, 502)
    return ProviderFault(message, code=last, status=status, retry_after=wait)
