"""How an attempt at a model can fail, and what follows from each way.

| kind | breaker | same model again | next model where `fallback` says |
|---|---|---|---|
| authentication | 401: disabled until the key works | no | error |
| rate_limit | counts | yes | rate_limit |
| overloaded, server_error, connection, truncated, malformed | counts | yes | error |
| timeout | counts | yes | timeout |
| not_found | no | no | error |
| context_window, too_large | no | no | context_window |
| content_filter | no | no | content_filter |
| invalid_request | no | no | never: it is the caller's |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec

from runtime.services.retry_after import NEVER

if TYPE_CHECKING:
    from runtime.services.ai.spec import FallbackSpec

Kind = Literal[
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

COUNTED: Final[frozenset[Kind]] = frozenset(
    {"rate_limit", "overloaded", "server_error", "timeout", "connection", "truncated", "malformed"}
)
"""What the breaker counts, and what may go away when the same model is asked again."""

LONGEST_MESSAGE: Final = 500


class Failure(Exception):  # noqa: N818 - the word for what an attempt comes to; callers see a `Fault`
    """An attempt failed.

    Args:
        kind: the way, from the table above.
        message: what the provider said, or what we saw; never a key.
        status: the provider's HTTP status; None where there was none.
        retry_after: seconds that the provider asks to wait; `NEVER` where waiting is of no use.
        own_key: the caller's own key was used: a refusal of it says nothing of the provider.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        own_key: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message[:LONGEST_MESSAGE]
        self.status = status
        self.retry_after = retry_after
        self.own_key = own_key

    @property
    def counted(self) -> bool:
        """Whether the breaker counts it."""
        return self.kind in COUNTED and not (self.own_key and self.kind == "rate_limit")

    @property
    def disables(self) -> bool:
        """Whether the environment's own key was refused."""
        return self.kind == "authentication" and self.status == 401 and not self.own_key

    @property
    def repeatable(self) -> bool:
        """Whether the same model may be asked once more."""
        return self.kind in COUNTED and self.retry_after != NEVER


_SWITCHES: Final[dict[Kind, str]] = {
    "timeout": "timeout",
    "rate_limit": "rate_limit",
    "context_window": "context_window",
    "too_large": "context_window",
    "content_filter": "content_filter",
}


def falls_back(kind: Kind, fallback: FallbackSpec) -> bool:
    """Whether a chain goes on to its next model."""
    if kind == "invalid_request":
        return False
    return bool(getattr(fallback, _SWITCHES.get(kind, "error")))


_STATUSES: Final[dict[int, Kind]] = {
    401: "authentication",
    402: "rate_limit",
    403: "authentication",
    404: "not_found",
    405: "not_found",
    408: "timeout",
    409: "server_error",
    410: "not_found",
    413: "too_large",
    424: "server_error",
    425: "server_error",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    524: "timeout",
    529: "overloaded",
}

_NAMES: Final[dict[str, Kind]] = {
    "context_length_exceeded": "context_window",
    "model_context_window_exceeded": "context_window",
    "content_filter": "content_filter",
    "content_policy_violation": "content_filter",
    "moderation_blocked": "content_filter",
    "insufficient_quota": "rate_limit",
    "billing_error": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "rate_limit_error": "rate_limit",
    "overloaded_error": "overloaded",
    "api_error": "server_error",
    "server_error": "server_error",
    "timeout_error": "timeout",
    "invalid_request_error": "invalid_request",
    "authentication_error": "authentication",
    "permission_error": "authentication",
    "not_found_error": "not_found",
    "model_not_found": "not_found",
    "request_too_large": "too_large",
}
_SPENT: Final = frozenset({"insufficient_quota", "billing_error"})
"""The account has no money left: asking again soon is of no use."""

_TOO_LONG: Final = re.compile(
    r"context.{0,10}(length|window)|maximum context|prompt is too long|input is too long|too many tokens"
    r"|too large for model",
    re.IGNORECASE,
)


class Said(msgspec.Struct, frozen=True):
    """What the body of an error says, in any of the three formats.

    Args:
        names: its codes and types, the most particular first.
    """

    message: str = ""
    names: tuple[str, ...] = ()


def said(body: Any) -> Said:
    """Reads an error's body: OpenAI's and Anthropic's `{"error": {...}}`, Mistral's `{"message", "type", "code"}`.

    Example:
        >>> said({"error": {"message": "slow down", "type": "rate_limit_error", "code": None}})
        Said(message='slow down', names=('rate_limit_error',))
    """
    if not isinstance(body, dict):
        return Said(body[:LONGEST_MESSAGE] if isinstance(body, str) else "")
    inner = body.get("error")
    if isinstance(inner, str):
        return Said(inner)
    about = inner if isinstance(inner, dict) else body
    message = about.get("message") or about.get("detail") or ""
    names = [about.get("code"), about.get("type")]
    text = message if isinstance(message, str) else msgspec.json.encode(message).decode()
    return Said(text, tuple(name for name in names if isinstance(name, str)))


def of_status(
    status: int, body: Any, *, retry_after: float | None = None, own_key: bool = False, provider: str = ""
) -> Failure:
    """The failure that an HTTP status and the body of the answer stand for.

    Args:
        body: parsed JSON, or text.
        retry_after: what the answer's headers ask for.
        provider: named in front of what it said.
    """
    told = said(body)
    kind = _STATUSES.get(status) or _by_class(status)
    if status < 500 and kind in ("invalid_request", "too_large", "not_found"):
        kind = _particular(told, kind)
    if any(name in _SPENT for name in told.names) or status == 402:
        retry_after = NEVER
    message = f"{provider} answered {status}: {told.message or 'without a word'}".lstrip()
    return Failure(kind, message, status=status, retry_after=retry_after, own_key=own_key)


def of_event(body: Any, *, own_key: bool = False, provider: str = "") -> Failure:
    """The failure that an error inside of a stream stands for."""
    told = said(body)
    kind = next((_NAMES[name] for name in told.names if name in _NAMES), None)
    never = NEVER if any(name in _SPENT for name in told.names) else None
    message = f"{provider} broke its stream off: {told.message or 'without a word'}".lstrip()
    return Failure(kind or _particular(told, "server_error"), message, retry_after=never, own_key=own_key)


def _by_class(status: int) -> Kind:
    if status >= 500 or 300 <= status < 400:
        return "server_error"
    return "invalid_request" if status >= 400 else "malformed"


def _particular(told: Said, kind: Kind) -> Kind:
    for name in told.names:
        if (known := _NAMES.get(name)) in ("context_window", "content_filter", "not_found", "too_large"):
            return cast("Kind", known)
    return "context_window" if _TOO_LONG.search(told.message) else kind
