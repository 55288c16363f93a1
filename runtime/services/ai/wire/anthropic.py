"""Anthropic's Messages API: its answers and streams as OpenAI's chat completions.

Source: docs.anthropic.com/en/api/messages and …/messages-streaming, as in the types of the `anthropic` package.
Thinking comes as `reasoning_content`; its signed blocks, which a conversation with tools must give back, as
`thinking_blocks`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.services.ai.failures import Failure, of_event
from runtime.services.ai.pieces import Answer, Piece
from runtime.services.ai.usage import Usage
from runtime.services.ai.wire.anthropic_request import anthropic_request
from runtime.services.ai.wire.openai import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.ai.request import ChatRequest

FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class _OutDetail(msgspec.Struct):
    thinking_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: _OutDetail | None = None


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Message(msgspec.Struct):
    id: str
    model: str
    content: list[_Block] = []
    stop_reason: str | None = None
    usage: _Usage = msgspec.field(default_factory=_Usage)


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    thinking: str = ""
    signature: str = ""
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: _Usage | None = None


_message = msgspec.json.Decoder(_Message)
_event = msgspec.json.Decoder(_Event)
_encode = msgspec.json.Encoder().encode


class AnthropicWire:
    """Chat completions by way of `/v1/messages`."""

    chat_path: Final = "/v1/messages"

    def request(self, request: ChatRequest, model: str, limit: int | None) -> tuple[bytes, Sequence[str]]:
        """The body to send, and the fields that it leaves out; see `anthropic_request`."""
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
        said, text = _spoken(message.content)
        finish = FINISH.get(message.stop_reason or "", "stop")
        usage = _used(message.usage)
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


def _spoken(blocks: Sequence[_Block]) -> tuple[dict[str, Any], str]:
    """The message of a chat completion, and all its text for estimates."""
    content = "".join(block.text for block in blocks if block.type == "text")
    reasoning = "".join(block.thinking for block in blocks if block.type == "thinking")
    calls = [_call(block) for block in blocks if block.type == "tool_use"]
    signed = [_signed(block) for block in blocks if block.type in ("thinking", "redacted_thinking")]
    said: dict[str, Any] = {"role": "assistant", "content": content or (None if calls else ""), "refusal": None}
    if calls:
        said["tool_calls"] = calls
    if reasoning:
        said["reasoning_content"] = reasoning
    if signed:
        said["thinking_blocks"] = signed
    return said, reasoning + content + "".join(call["function"]["arguments"] for call in calls)


def _call(block: _Block) -> dict[str, Any]:
    arguments = bytes(block.input).decode("utf-8", "replace")
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def _signed(block: _Block) -> dict[str, Any]:
    if block.type == "redacted_thinking":
        return {"type": block.type, "data": block.data}
    return {"type": block.type, "thinking": block.thinking, "signature": block.signature}


def _used(usage: _Usage, before: Usage | None = None) -> Usage:
    """Tokens by kind; a stream tells some at its beginning and the rest at its end."""
    thought = (usage.output_tokens_details and usage.output_tokens_details.thinking_tokens) or 0
    into, read, written = usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    return Usage(
        input=into if into is not None else before.input if before else 0,
        cached_input=read if read is not None else before.cached_input if before else 0,
        cache_write=written if written is not None else before.cache_write if before else 0,
        output=max(0, (usage.output_tokens or 0) - thought),
        reasoning=thought,
    )


def told(usage: Usage) -> dict[str, Any]:
    """Usage as OpenAI tells it."""
    into = usage.input + usage.cached_input + usage.cache_write
    out = usage.output + usage.reasoning
    return {
        "prompt_tokens": into,
        "completion_tokens": out,
        "total_tokens": into + out,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


class AnthropicReader:
    """Makes chunks of the events of a stream.

    Args:
        tell_usage: whether the caller wants an event that tells the usage.
    """

    def __init__(self, *, tell_usage: bool) -> None:
        self._tell_usage = tell_usage
        self._usage: Usage | None = None
        self._head = b""
        self._calls: dict[int, int] = {}
        self._blocks: dict[int, _Block] = {}
        self._finish: str | None = None

    def read(self, events: Sequence[bytes]) -> Piece:
        piece = Piece()
        sent: list[bytes] = []
        for event in events:
            try:
                told_ = _event.decode(event)
                if told_.type == "error":
                    piece.failure = of_event(plain(event))
                    break
                self._take(told_, piece, sent)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                piece.failure = Failure("malformed", f"an event of the stream cannot be read: {error}")
                break
            if piece.ended:
                break
        piece.data = b"".join(sent)
        return piece

    def _take(self, event: _Event, piece: Piece, sent: list[bytes]) -> None:
        if event.type == "content_block_delta" and event.delta is not None:
            self._content(event.index, event.delta, piece, sent)
        elif event.type == "message_start" and event.message is not None:
            self._begin(event.message, piece, sent)
        elif event.type == "content_block_start" and event.content_block is not None:
            self._block(event.index, event.content_block, piece, sent)
        elif event.type == "content_block_stop":
            block = self._blocks.pop(event.index, None)
            if block is not None:
                sent.append(self._chunk(b'{"thinking_blocks":' + _encode([_signed(block)]) + b"}"))
        elif event.type == "message_delta":
            if event.usage is not None:
                piece.usage = self._usage = _used(event.usage, self._usage)
            if event.delta is not None and event.delta.stop_reason is not None:
                self._finish = FINISH.get(event.delta.stop_reason, "stop")
        elif event.type == "message_stop":
            self._end(piece, sent)

    def _begin(self, message: _Message, piece: Piece, sent: list[bytes]) -> None:
        piece.usage = self._usage = _used(message.usage)
        self._head = (
            b'data: {"id":'
            + _encode(message.id)
            + b',"object":"chat.completion.chunk","created":%d,"model":' % int(time.time())
            + _encode(message.model)
            + b',"choices":['
        )
        sent.append(self._chunk(b'{"role":"assistant","content":""}'))

    def _block(self, index: int, block: _Block, piece: Piece, sent: list[bytes]) -> None:
        if block.type == "tool_use":
            number = self._calls[index] = len(self._calls)
            call = {
                "index": number,
                "id": block.id,
                "type": "function",
                "function": {"name": block.name, "arguments": ""},
            }
            sent.append(self._chunk(b'{"tool_calls":[' + _encode(call) + b"]}"))
            piece.begun = True
            piece.text += block.name
        elif block.type in ("thinking", "redacted_thinking"):
            self._blocks[index] = block
        elif block.type == "text" and block.text:
            self._content(index, _Delta("text_delta", text=block.text), piece, sent)

    def _content(self, index: int, delta: _Delta, piece: Piece, sent: list[bytes]) -> None:
        if delta.type == "text_delta":
            text, made = delta.text, b'{"content":' + _encode(delta.text) + b"}"
        elif delta.type == "thinking_delta":
            text, made = delta.thinking, b'{"reasoning_content":' + _encode(delta.thinking) + b"}"
            if (block := self._blocks.get(index)) is not None:
                block.thinking += delta.thinking
        elif delta.type == "input_json_delta":
            text = delta.partial_json
            made = b'{"tool_calls":[{"index":%d,"function":{"arguments":' % self._calls.get(index, 0)
            made += _encode(text) + b"}}]}"
        else:
            if delta.type == "signature_delta" and (block := self._blocks.get(index)) is not None:
                block.signature += delta.signature
            return
        if text:
            piece.begun = True
            piece.text += text
            sent.append(self._chunk(made))

    def _end(self, piece: Piece, sent: list[bytes]) -> None:
        sent.append(self._chunk(b"{}", self._finish or "stop"))
        if self._tell_usage and self._usage is not None:
            sent.append(self._head + b'],"usage":' + _encode(told(self._usage)) + b"}\n\n")
        piece.ended = True

    def _chunk(self, delta: bytes, finish: str | None = None) -> bytes:
        if not self._head:  # content before `message_start`
            raise msgspec.DecodeError("the stream begins without its message")
        ending = b"null" if finish is None else b'"%s"' % finish.encode()
        return self._head + b'{"index":0,"delta":' + delta + b',"finish_reason":' + ending + b"}]}\n\n"
