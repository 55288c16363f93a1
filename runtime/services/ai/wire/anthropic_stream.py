"""Anthropic's streams as OpenAI's chunks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from runtime.services.ai.failures import Failure, of_event
from runtime.services.ai.pieces import Piece
from runtime.services.ai.wire.anthropic_answer import FINISH, Block, Counted, Message, signed, told, used
from runtime.services.ai.wire.openai import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.ai.usage import Usage


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
    content_block: Block | None = None
    message: Message | None = None
    usage: Counted | None = None


_event = msgspec.json.Decoder(_Event)
_encode = msgspec.json.Encoder().encode


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
        self._blocks: dict[int, Block] = {}
        self._finish: str | None = None

    def read(self, events: Sequence[bytes]) -> Piece:
        piece = Piece()
        sent: list[bytes] = []
        for event in events:
            try:
                read = _event.decode(event)
                if read.type == "error":
                    piece.failure = of_event(plain(event))
                    break
                self._take(read, piece, sent)
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
                sent.append(self._chunk(b'{"thinking_blocks":' + _encode([signed(block)]) + b"}"))
        elif event.type == "message_delta":
            if event.usage is not None:
                piece.usage = self._usage = used(event.usage, self._usage)
            if event.delta is not None and event.delta.stop_reason is not None:
                self._finish = FINISH.get(event.delta.stop_reason, "stop")
        elif event.type == "message_stop":
            self._end(piece, sent)

    def _begin(self, message: Message, piece: Piece, sent: list[bytes]) -> None:
        piece.usage = self._usage = used(message.usage)
        self._head = (
            b'data: {"id":'
            + _encode(message.id)
            + b',"object":"chat.completion.chunk","created":%d,"model":' % int(time.time())
            + _encode(message.model)
            + b',"choices":['
        )
        sent.append(self._chunk(b'{"role":"assistant","content":""}'))

    def _block(self, index: int, block: Block, piece: Piece, sent: list[bytes]) -> None:
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
