"""What comes back from a provider, in OpenAI's format: a whole answer, or the pieces of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from runtime.services.ai.usage import NOTHING, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.ai.failures import Failure


class Answer(msgspec.Struct, frozen=True):
    """A whole answer.

    Args:
        body: OpenAI's JSON; the provider's own bytes where it speaks that format.
        usage: None where the provider told nothing.
        text: what it says; only for a check of the output and for estimates.
        finish: why the first choice ended: `stop`, `length`, `tool_calls`, `content_filter`; empty for what is no chat.
        ignored: fields of the request that the provider has no counterpart of.
    """

    body: bytes
    usage: Usage | None = None
    text: str = ""
    finish: str = ""
    ignored: Sequence[str] = ()


class Piece(msgspec.Struct):
    """What one read of a provider's stream comes to.

    Args:
        data: Server-Sent Events for the caller, in OpenAI's format; empty where nothing is to be sent.
        begun: whether content has come: text, reasoning, a refusal or a tool call.
        text: the content that it brings, of all kinds; what is not told as usage is estimated from it.
        usage: all that was used so far, where the provider tells it here.
        ended: whether the provider has said that the stream is complete.
        failure: what went wrong after that content.
    """

    data: bytes = b""
    begun: bool = False
    text: str = ""
    usage: Usage | None = None
    ended: bool = False
    failure: Failure | None = None


class Reader(Protocol):
    """Translates the events of one stream."""

    def read(self, events: Sequence[bytes]) -> Piece:
        """What some events come to; never raises: what cannot be understood is `Piece.failure`."""
        ...


__all__ = ["NOTHING", "Answer", "Piece", "Reader", "Usage"]
