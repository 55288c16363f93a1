"""What a message of Anthropic's says, and how OpenAI would say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.services.ai.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class OutDetail(msgspec.Struct):
    """The tokens out, taken apart."""

    thinking_tokens: int | None = None


class Counted(msgspec.Struct):
    """`usage` as Anthropic tells it: tokens in do not contain the cached ones."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: OutDetail | None = None


class Block(msgspec.Struct):
    """A block of content, of any type."""

    type: str
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class Message(msgspec.Struct):
    """A message, whole or at its beginning."""

    id: str
    model: str
    content: list[Block] = []
    stop_reason: str | None = None
    usage: Counted = msgspec.field(default_factory=Counted)


def spoken(blocks: Sequence[Block]) -> tuple[dict[str, Any], str]:
    """The message of a chat completion, and all its text for estimates."""
    content = "".join(block.text for block in blocks if block.type == "text")
    reasoning = "".join(block.thinking for block in blocks if block.type == "thinking")
    calls = [_call(block) for block in blocks if block.type == "tool_use"]
    thoughts = [signed(block) for block in blocks if block.type in ("thinking", "redacted_thinking")]
    said: dict[str, Any] = {"role": "assistant", "content": content or (None if calls else ""), "refusal": None}
    if calls:
        said["tool_calls"] = calls
    if reasoning:
        said["reasoning_content"] = reasoning
    if thoughts:
        said["thinking_blocks"] = thoughts
    return said, reasoning + content + "".join(call["function"]["arguments"] for call in calls)


def _call(block: Block) -> dict[str, Any]:
    arguments = bytes(block.input).decode("utf-8", "replace")
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def signed(block: Block) -> dict[str, Any]:
    """A block of thinking as the conversation has to give it back."""
    if block.type == "redacted_thinking":
        return {"type": block.type, "data": block.data}
    return {"type": block.type, "thinking": block.thinking, "signature": block.signature}


def used(usage: Counted, before: Usage | None = None) -> Usage:
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
