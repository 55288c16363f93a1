"""`kind: echo`: says what it was asked, without any model, and says so in every answer.

Its tokens are the words of the text, its price is nothing. It is for development without a key.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.errors import Invalid
from runtime.services.ai.pieces import Answer, Piece
from runtime.services.ai.usage import Usage
from runtime.services.names import time_ordered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from runtime.services.ai.provider import Pieces
    from runtime.services.ai.request import ChatRequest

MARK: Final = "[echo]"
"""Begins every answer."""


class EchoProvider:
    """Answers with what it was asked."""

    async def chat(
        self, request: ChatRequest, model: str, *, key: str | None = None, limit: int | None = None
    ) -> Answer:
        text, usage = _said(request, limit)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        body = _head("chat.completion", model) | {"choices": [choice], "usage": _told(usage)}
        return Answer(msgspec.json.encode(body), usage, text, "stop")

    @asynccontextmanager
    async def stream(
        self, request: ChatRequest, model: str, *, key: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Pieces]:
        yield _EchoPieces(request, model, limit)

    async def embed(self, fields: Mapping[str, msgspec.Raw], model: str, *, key: str | None = None) -> Answer:
        raise Invalid("an echo has no embeddings", remedy="Ask a model of another provider.")

    async def moderate(self, fields: Mapping[str, msgspec.Raw], model: str | None, *, key: str | None = None) -> Answer:
        raise Invalid("an echo judges nothing", remedy="Ask a provider that moderates.")

    async def probe(self) -> None:
        """It is always there."""


class _EchoPieces:
    ignored: Sequence[str] = ()

    def __init__(self, request: ChatRequest, model: str, limit: int | None) -> None:
        text, self._usage = _said(request, limit)
        self._head = _head("chat.completion.chunk", model)
        self._words = [f"{word} " for word in text.split(" ")[:-1]] + text.split(" ")[-1:]
        self._tell_usage = request.include_usage
        self._sent = 0

    async def next(self) -> Piece:
        await asyncio.sleep(0)
        if self._sent < len(self._words):
            word = self._words[self._sent]
            self._sent += 1
            delta = {"content": word} if self._sent > 1 else {"role": "assistant", "content": word}
            return Piece(self._chunk(delta, None), begun=True, text=word)
        data = self._chunk({}, "stop")
        if self._tell_usage:
            data += _event(self._head | {"choices": [], "usage": _told(self._usage)})
        return Piece(data, usage=self._usage, ended=True)

    def _chunk(self, delta: Mapping[str, Any], finish: str | None) -> bytes:
        return _event(self._head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _said(request: ChatRequest, limit: int | None) -> tuple[str, Usage]:
    asked = request.prompts[-1] if request.prompts else ""
    most = request.limited(limit)
    words = f"{MARK} {asked}".split(" ")[:most]
    counted = sum(len(prompt.split()) for prompt in request.prompts)
    return " ".join(words), Usage(input=counted, output=len(words))


def _told(usage: Usage) -> dict[str, int]:
    into, out = usage.input, usage.output
    return {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}


def _head(kind: str, model: str) -> dict[str, Any]:
    made: dict[str, Any] = {"id": f"echo-{time_ordered()}", "object": kind, "created": int(time.time())}
    return made | {"model": model, "system_fingerprint": "echo"}


def _event(data: Any) -> bytes:
    return b"data: " + msgspec.json.encode(data) + b"\n\n"
