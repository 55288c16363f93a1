"""What an environment answers when it refuses, as the errors of `runtime.errors`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import (
    Conflict,
    Fault,
    Forbidden,
    InsufficientCredit,
    Invalid,
    NotBuilt,
    NotFound,
    Pointer,
    RequestFault,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: Final[dict[str, type[RequestFault]]] = {
    "unauthenticated": Unauthenticated,
    "insufficient-credit": InsufficientCredit,
    "forbidden": Forbidden,
    "not-found": NotFound,
    "conflict": Conflict,
    "too-large": TooLarge,
}
_OFTEN: Final = "Put many jobs in at once with `enqueue_all`, or use an API key with a rate of its own."
_SHORT: Final = 0.2
"""Seconds after which a request is looked for again that is still under way."""


class Away(Unreachable):
    """The environment, or what it needs, does not answer; the words are its own.

    Args:
        address: of the environment.
        reason: what it said, or what the connection did.
        retry_after: seconds until it makes sense to ask again; None where nobody says.
    """

    def __init__(self, address: str, reason: str, *, remedy: str = "", retry_after: float | None = None) -> None:
        super().__init__("the environment", address, reason, remedy=remedy or "Try again in a moment.")
        self.retry_after = retry_after


def refusal(address: str, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """The error for an answer that is none of success.

    Args:
        address: of the environment.
        body: `application/problem+json`, or whatever a proxy in between has said.
    """
    after = _seconds(headers.get("Retry-After"))
    try:
        problem: dict[str, Any] = json.loads(body)
        kind, detail = str(problem["type"]).rpartition("#")[2], str(problem["detail"])
        remedy = str(problem.get("remedy", ""))
        places = [Pointer(_pointer(each), str(each["detail"])) for each in problem.get("errors", ())]
    except (ValueError, KeyError, TypeError, AttributeError):
        if status >= 500:
            return Away(address, f"it answered {status}", retry_after=after)
        return Fault(f"{address} answered {status}", remedy="Is this the address of an environment?")
    if kind == "in-progress":
        return Away(address, detail, retry_after=_SHORT)
    if kind == "not-built":
        return NotBuilt(detail.removesuffix(" is not built in this version"))
    if kind == "too-many":
        return TooMany(detail, retry_after=after or 1.0, remedy=_OFTEN)
    if status == 503:
        return Away(address, detail, remedy=remedy, retry_after=after)
    if kind == "invalid" or (status == 400 and kind not in _KINDS):
        return Invalid(detail, errors=places, remedy=remedy)
    if kind in _KINDS:
        return _KINDS[kind](detail, remedy=remedy)
    request = problem.get("request_id")
    return Fault(f"{address}: {detail}" + (f" (request {request})" if request else ""), remedy=remedy)


def _pointer(place: Mapping[str, str]) -> str:
    """Where it is wrong: in the body, or elsewhere as `query /limit`."""
    source = place.get("in", "body")
    return place["pointer"] if source == "body" else f"{source} {place['pointer']}"


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
