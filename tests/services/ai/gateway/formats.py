"""Answers as the three providers give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.services.ai.gateway.upstream import Answering, Hit, Sender

KINDS: Final = ("openai", "anthropic", "mistral")
TEXT: Final = "Hello, world."
WORDS: Final = ("Hello", ", ", "world", ".")


def completion(text: str = TEXT) -> dict[str, Any]:
    """OpenAI's, and Mistral's."""
    return {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    }


def message(text: str = TEXT) -> dict[str, Any]:
    """Anthropic's."""
    return {
        "id": "msg-1",
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 4},
    }


def answer(kind: str, text: str = TEXT) -> dict[str, Any]:
    return message(text) if kind == "anthropic" else completion(text)


def events(kind: str, words: tuple[str, ...] = WORDS) -> list[tuple[Any, str | None]]:
    """The events of a whole stream: data and name."""
    if kind == "anthropic":
        begin = {**message(""), "content": [], "stop_reason": None, "usage": {"input_tokens": 9, "output_tokens": 1}}
        found: list[dict[str, Any]] = [
            {"type": "message_start", "message": begin},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "ping"},
        ]
        found += [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in words
        ]
        found += [
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 4},
            },
            {"type": "message_stop"},
        ]
        return [(event, event["type"]) for event in found]
    usage = completion()["usage"]

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        about = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
        return {**about, "choices": [choice], **more}

    sent: list[Any] = [chunk({"role": "assistant", "content": ""}), *[chunk({"content": word}) for word in words]]
    if kind == "mistral":
        sent += [chunk({"content": ""}, "stop", usage=usage), b"[DONE]"]
    else:
        sent += [chunk({}, "stop"), {**chunk({}), "choices": [], "usage": usage}, b"[DONE]"]
    return [(event, None) for event in sent]


def answering(kind: str, text: str = TEXT) -> Answering:
    """What a provider in good health does."""

    async def good(hit: Hit, send: Sender) -> None:
        if hit.method == "GET":
            await send.whole({"data": []})
        elif hit.json.get("stream"):
            await send.stream()
            for data, name in events(kind):
                await send.event(data, name)
            await send.end()
        else:
            await send.whole(answer(kind, text))

    return good


def error(kind: str, message_: str, type_: str = "invalid_request_error", code: str | None = None) -> dict[str, Any]:
    """An error's body."""
    if kind == "anthropic":
        return {"type": "error", "error": {"type": type_, "message": message_}}
    if kind == "mistral":
        return {"object": "error", "message": message_, "type": type_, "param": None, "code": code}
    return {"error": {"message": message_, "type": type_, "param": None, "code": code}}
