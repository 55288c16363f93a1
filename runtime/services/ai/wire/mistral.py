"""Mistral's answers and streams as OpenAI's: untouched where the two agree, which they do but for a few words.

Mistral's own are a content of several chunks (its thinking is one of them), the reasons `model_length` and `error`, and
tool calls whose arguments are no text or that lack their type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.services.ai.failures import Failure, of_event
from runtime.services.ai.pieces import Answer, Piece
from runtime.services.ai.wire.mistral_request import IGNORED, mistral_request
from runtime.services.ai.wire.openai import DONE, Counted, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.services.ai.request import ChatRequest
    from runtime.services.ai.usage import Usage

_FINISH: Final = {"model_length": "length"}


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None
    type: str | None = None
    index: int | None = None


class _Said(msgspec.Struct):
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[_Call] | None = None

    @property
    def theirs(self) -> bool:
        """Whether it says something in Mistral's own way."""
        odd = (call.type is None or not isinstance(call.function.arguments, str) for call in self.tool_calls or ())
        return isinstance(self.content, list) or any(odd)


class _Choice(msgspec.Struct):
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None

    @property
    def said(self) -> _Said:
        return self.message or self.delta or _Said()

    @property
    def theirs(self) -> bool:
        calls = self.delta.tool_calls if self.delta is not None else None
        return self.said.theirs or self.finish_reason in _FINISH or any(call.index is None for call in calls or ())


class _Body(msgspec.Struct):
    choices: list[_Choice] = []
    usage: Counted | None = None


_body = msgspec.json.Decoder(_Body)


class MistralWire:
    """Chat completions in Mistral's format.

    Args:
        safe_prompt: tells whether Mistral puts its own safety prompt before the conversation; it may change.
    """

    chat_path: Final = "/v1/chat/completions"

    def __init__(self, safe_prompt: Callable[[], bool] = lambda: False) -> None:
        self._safe_prompt = safe_prompt

    def request(self, request: ChatRequest, model: str, limit: int | None) -> tuple[bytes, Sequence[str]]:
        """The body to send, and the fields that it leaves out; see `mistral_request`."""
        data = request.plain
        body = mistral_request(data, model, limit, safe_prompt=self._safe_prompt())
        return msgspec.json.encode(body), [name for name in IGNORED if data.get(name) is not None]

    def answer(self, body: bytes, request: ChatRequest) -> Answer:
        """A whole answer.

        Raises:
            Failure: it is none (`malformed`), or Mistral failed while it answered (`server_error`).
        """
        try:
            read = _body.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Failure("malformed", f"an answer that is no chat completion: {error}") from error
        if not read.choices or any(choice.message is None for choice in read.choices):
            raise Failure("malformed", "an answer without any choice")
        if any(choice.finish_reason == "error" for choice in read.choices):
            raise Failure("server_error", "it ended its answer with an error")
        if any(choice.theirs for choice in read.choices):
            body = _ours(body)
        text = "".join(_text(choice.said) for choice in read.choices)
        finish = read.choices[0].finish_reason or ""
        return Answer(body, _usage(read), text, _FINISH.get(finish, finish))

    def reader(self, request: ChatRequest) -> MistralReader:
        """For one stream."""
        return MistralReader()


class MistralReader:
    """Passes the events of a stream on, in OpenAI's words."""

    def read(self, events: Sequence[bytes]) -> Piece:
        piece = Piece()
        sent: list[bytes] = []
        for event in events:
            if event == DONE:
                piece.ended = True
                break
            try:
                chunk = _body.decode(event)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                piece.failure = Failure("malformed", f"an event of the stream cannot be read: {error}")
                break
            if (not chunk.choices and chunk.usage is None) or any(c.finish_reason == "error" for c in chunk.choices):
                piece.failure = of_event(plain(event))
                break
            if chunk.usage is not None:
                piece.usage = _usage(chunk)
            if text := "".join(_text(choice.said) for choice in chunk.choices):
                piece.begun = True
                piece.text += text
            sent.append(_ours(event) if any(choice.theirs for choice in chunk.choices) else event)
        if sent:
            piece.data = b"data: " + b"\n\ndata: ".join(sent) + b"\n\n"
        return piece


def _usage(body: _Body) -> Usage | None:
    return body.usage.usage if body.usage is not None else None


def _text(said: _Said) -> str:
    content = said.content
    text = content if isinstance(content, str) else "".join(_chunks(content or []))
    for call in said.tool_calls or ():
        arguments = call.function.arguments
        text += call.function.name + (arguments if isinstance(arguments, str) else "{}" if arguments else "")
    return text


def _chunks(content: list[dict[str, Any]]) -> tuple[str, str]:
    """The reasoning and the text of a content of chunks."""
    reasoning = "".join(
        part.get("text") or ""
        for chunk in content
        if chunk.get("type") == "thinking" and isinstance(chunk.get("thinking"), list)
        for part in chunk["thinking"]
        if isinstance(part, dict)
    )
    return reasoning, "".join(chunk.get("text") or "" for chunk in content if chunk.get("type") == "text")


def _ours(body: bytes) -> bytes:
    """An answer or a chunk with Mistral's own words replaced."""
    data = msgspec.json.decode(body)
    for choice in data["choices"]:
        choice["finish_reason"] = _FINISH.get(choice.get("finish_reason"), choice.get("finish_reason"))
        said = choice.get("message") or choice.get("delta") or {}
        if isinstance(said.get("content"), list):
            reasoning, text = _chunks(said["content"])
            said["content"] = text
            if reasoning:
                said["reasoning_content"] = reasoning
        for number, call in enumerate(said.get("tool_calls") or ()):
            call["type"] = "function"
            if "delta" in choice:
                call["index"] = number if call.get("index") is None else call["index"]
            arguments = call["function"].get("arguments")
            if not isinstance(arguments, str):
                call["function"]["arguments"] = msgspec.json.encode(arguments or {}).decode()
    return msgspec.json.encode(data)
