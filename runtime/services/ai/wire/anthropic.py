"""Anthropic's Messages API: its answers and streams as OpenAI's chat completions.

Source: docs.anthropic.com/en/api/messages and …/messages-streaming, as in the types of the `anthropic` package.
Thinking comes as `reasoning_content`; its signed blocks, which a conversation with tools must give back, as
`thinking_blocks`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from runtime.services.ai.failures import Failure
from runtime.services.ai.pieces import Answer
from runtime.services.ai.wire.anthropic_answer import FINISH, Message, spoken, told, used
from runtime.services.ai.wire.anthropic_request import MOST_TOKENS, anthropic_request
from runtime.services.ai.wire.anthropic_stream import AnthropicReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.ai.request import ChatRequest

_message = msgspec.json.Decoder(Message)
_encode = msgspec.json.Encoder().encode


class AnthropicWire:
    """Chat completions by way of `/v1/messages`."""

    chat_path: Final = "/v1/messages"

    def request(self, request: ChatRequest, model: str, limit: int | None) -> tuple[bytes, Sequence[str]]:
        """The body to send, and the fields that it leaves out; see `anthropic_request`."""
        if request.max_tokens is None and limit is not None:
            limit = min(limit, MOST_TOKENS)
        body, ignored = anthropic_request(request.plain, model, limit)
        return _encode(body), ignored

    def answer(self, body: bytes, request: ChatRequest) -> Answer:
        """A whole answer as a chat completion.

        Raises:
            Failure: it is none (`malformed`).
        """
        try:
            message = _message.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Failure("malformed", f"an answer that is no message: {error}") from error
        said, text = spoken(message.content)
        finish = FINISH.get(message.stop_reason or "", "stop")
        usage = used(message.usage)
        completion = {
            "id": message.id,
            "object": "chat.completion",
            "created": int(time.time()),
            "model": message.model,
            "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": finish}],
            "usage": told(usage),
        }
        return Answer(_encode(completion), usage, text, finish)

    def reader(self, request: ChatRequest) -> AnthropicReader:
        """For one stream."""
        return AnthropicReader(tell_usage=request.include_usage)
