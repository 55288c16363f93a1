"""OpenAI's chat request as Mistral takes it: nearly the same words, and none besides.

Mistral refuses a field that it does not know, so what goes out is a choice of what came in. Source:
docs.mistral.ai/api, as in the types of the `mistralai` package (`ChatCompletionRequest`).
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

from runtime.services.ai.wire.parts import data_url, parts_of, refuse, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

REFUSED: Final = ("functions", "function_call", "audio", "web_search_options")
IGNORED: Final = ("logit_bias", "store", "verbosity", "moderation", "prompt_cache_options", "prompt_cache_retention")

_SAME: Final = (
    "frequency_penalty",
    "logprobs",
    "metadata",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "reasoning_effort",
    "response_format",
    "stop",
    "stream",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
)
_TIERS: Final = {"auto": "auto", "priority": "auto", "default": "standard_only"}
_ID: Final = re.compile(r"[A-Za-z0-9]{9}")
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def mistral_request(data: Mapping[str, Any], model: str, limit: int | None, *, safe_prompt: bool) -> dict[str, Any]:
    """The body for `/v1/chat/completions` of Mistral.

    Args:
        data: OpenAI's request.
        limit: the most tokens that a choice may have.
        safe_prompt: whether Mistral puts its own safety prompt before the conversation.

    Raises:
        Unsupported: it asks for something that Mistral cannot give.
    """
    refuse("Mistral", data, REFUSED)
    body = {name: data[name] for name in _SAME if data.get(name) is not None}
    body |= {"model": model, "messages": [_message(message) for message in data["messages"]]}
    if limit is not None:
        body["max_tokens"] = limit
    if data.get("seed") is not None:
        body["random_seed"] = data["seed"]
    if tier := _TIERS.get(data.get("service_tier") or ""):
        body["service_tier"] = tier
    if safe_prompt:
        body["safe_prompt"] = True
    return body


def tool_call_id(known: Any) -> str:
    """The id of a tool call as Mistral takes it: nine letters or digits, the same for the same id.

    A conversation that another provider began has others.

    Example:
        >>> tool_call_id("call_abc"), tool_call_id("D681PevKs")
        ('jMvijQx1j', 'D681PevKs')
    """
    text = known if isinstance(known, str) else ""
    if _ID.fullmatch(text):
        return text
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return "".join(_LETTERS[number // 62**place % 62] for place in range(9))


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    role, content = message["role"], message.get("content")
    if role in ("system", "developer"):
        return {"role": "system", "content": text_of(content)}
    if role == "user":
        return {
            "role": "user",
            "content": content if isinstance(content, str) else [_part(p) for p in parts_of(content)],
        }
    if role == "assistant":
        made: dict[str, Any] = {"role": "assistant", "content": text_of(content) or message.get("refusal") or ""}
        if calls := message.get("tool_calls"):
            made["tool_calls"] = [_call(call) for call in calls]
        return made
    if role == "tool":
        result = {
            "role": "tool",
            "content": text_of(content),
            "tool_call_id": tool_call_id(message.get("tool_call_id")),
        }
        return result | ({"name": message["name"]} if message.get("name") else {})
    refuse("Mistral", {"messages": f"the role {role}"}, ("messages",))
    return {}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    named = {"name": function.get("name"), "arguments": function.get("arguments") or "{}"}
    return {"id": tool_call_id(call.get("id")), "type": "function", "function": named}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "text": part.get("text", "")}
    if kind == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        data_url(url)
        return {"type": "image_url", "image_url": url}
    if kind == "file" and (data := (part.get("file") or {}).get("file_data")):
        return {"type": "document_url", "document_url": data}
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": (part.get("input_audio") or {}).get("data")}
    refuse("Mistral", {"messages": f"a part of the type {kind}"}, ("messages",))
    return {}
