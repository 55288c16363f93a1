"""OpenAI's own format: the request with another model's name in it, the answer as it came.

Source: the API reference of chat completions (platform.openai.com/docs/api-reference/chat), as in the types of the
`openai` package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from runtime.services.ai.failures import Failure, of_event
from runtime.services.ai.pieces import Answer, Piece
from runtime.services.ai.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.ai.request import ChatRequest

DONE: Final = b"[DONE]"

_TRUE: Final = msgspec.Raw(b"true")
_NULL: Final = msgspec.Raw(b"null")
_options = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)


class _InDetail(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutDetail(msgspec.Struct):
    reasoning_tokens: int | None = None


class Counted(msgspec.Struct):
    """`usage` as OpenAI tells it: the parts are contained in the sums."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _InDetail | None = None
    completion_tokens_details: _OutDetail | None = None

    @property
    def usage(self) -> Usage:
        """The kinds apart from each other."""
        into, out = self.prompt_tokens or 0, self.completion_tokens or 0
        cached = (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0
        written = (self.prompt_tokens_details and self.prompt_tokens_details.cache_write_tokens) or 0
        thought = (self.completion_tokens_details and self.completion_tokens_details.reasoning_tokens) or 0
        return Usage(
            input=max(0, into - cached - written),
            cached_input=cached,
            cache_write=written,
            output=max(0, out - thought),
            reasoning=thought,
        )


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_ToolCall] | None = None

    @property
    def text(self) -> str:
        parts = [self.reasoning_content, self.reasoning, self.content, self.refusal]
        for call in self.tool_calls or ():
            if call.function is not None:
                parts += [call.function.name, call.function.arguments]
        return "".join(filter(None, parts))


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: Counted | None = None


class _Delta(_Message):
    pass


class _ChunkChoice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_ChunkChoice] = []
    usage: Counted | None = None
    error: msgspec.Raw = _NULL


_completion = msgspec.json.Decoder(_Completion)
_chunk = msgspec.json.Decoder(_Chunk)


class OpenAiWire:
    """Chat completions in OpenAI's format.

    Args:
        limit_field: where the most tokens stand: older servers know `max_tokens` alone.
    """

    chat_path: Final = "/chat/completions"

    def __init__(self, limit_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens") -> None:
        self._limit_field = limit_field

    def request(self, request: ChatRequest, model: str, limit: int | None) -> tuple[bytes, Sequence[str]]:
        """The body to send, and the fields that it leaves out.

        Args:
            limit: the most tokens that a choice may have; None for the provider's own.
        """
        fields = {**request.fields, "model": msgspec.Raw(msgspec.json.encode(model))}
        if limit is not None and limit != request.max_tokens:
            named = "max_tokens" if "max_tokens" in fields else self._limit_field
            fields.pop("max_completion_tokens", None)
            fields[named] = msgspec.Raw(b"%d" % limit)
        if request.stream and not request.include_usage:
            options = _options.decode(fields.get("stream_options", _NULL))
            asked = {**(options or {}), "include_usage": _TRUE}
            fields["stream_options"] = msgspec.Raw(msgspec.json.encode(asked))
        return msgspec.json.encode(fields), ()

    def answer(self, body: bytes, request: ChatRequest) -> Answer:
        """A whole answer, its bytes untouched.

        Raises:
            Failure: it is none (`malformed`).
        """
        try:
            read = _completion.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Failure("malformed", f"an answer that is no chat completion: {error}") from error
        if not read.choices:
            raise Failure("malformed", "an answer without any choice")
        usage = read.usage.usage if read.usage is not None else None
        text = "".join(choice.message.text for choice in read.choices)
        return Answer(body, usage, text, read.choices[0].finish_reason or "")

    def reader(self, request: ChatRequest) -> OpenAiReader:
        """For one stream."""
        return OpenAiReader(keep_usage=request.include_usage)


class OpenAiReader:
    """Passes the events of a stream on as they are.

    Args:
        keep_usage: whether the caller has asked for the event that tells the usage alone.
    """

    __slots__ = ("_keep_usage",)

    def __init__(self, *, keep_usage: bool) -> None:
        self._keep_usage = keep_usage

    def read(self, events: Sequence[bytes]) -> Piece:
        piece = Piece()
        sent: list[bytes] = []
        texts: list[str] = []
        for event in events:
            if event == DONE:
                piece.ended = True
                break
            try:
                chunk = _chunk.decode(event)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                piece.failure = Failure("malformed", f"an event of the stream cannot be read: {error}")
                break
            if chunk.error != _NULL:
                piece.failure = of_event(plain(event))
                break
            if chunk.usage is not None:
                piece.usage = chunk.usage.usage
                if not chunk.choices and not self._keep_usage:
                    continue
            texts += [choice.delta.text for choice in chunk.choices if choice.delta is not None]
            sent.append(event)
        if sent:
            piece.data = b"data: " + b"\n\ndata: ".join(sent) + b"\n\n"
        piece.text = "".join(texts)
        piece.begun = bool(piece.text)
        return piece


def plain(event: bytes) -> Any:
    """An event as plain data; its text where it is no JSON."""
    try:
        return msgspec.json.decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return event.decode("utf-8", "replace")


class _Embeddings(msgspec.Struct):
    data: list[msgspec.Raw]
    usage: Counted | None = None


class _Moderation(msgspec.Struct):
    results: list[msgspec.Raw]
    usage: Counted | None = None


_embeddings = msgspec.json.Decoder(_Embeddings)
_moderation = msgspec.json.Decoder(_Moderation)


def embeddings(body: bytes) -> Answer:
    """An answer of embeddings, its bytes untouched.

    Raises:
        Failure: it is none (`malformed`).
    """
    try:
        read = _embeddings.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Failure("malformed", f"an answer that holds no embeddings: {error}") from error
    return Answer(body, read.usage.usage if read.usage is not None else None)


def moderation(body: bytes) -> Answer:
    """An answer of a moderation, its bytes untouched.

    Raises:
        Failure: it is none (`malformed`).
    """
    try:
        read = _moderation.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Failure("malformed", f"an answer that is no moderation: {error}") from error
    return Answer(body, read.usage.usage if read.usage is not None else None)
