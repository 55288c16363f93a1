"""OpenAI's chat request as Anthropic's Messages API takes it.

Source: docs.anthropic.com/en/api/messages, as in the types of the `anthropic` package (`MessageCreateParams`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.services.ai.wire.parts import data_url, parts_of, refuse, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_TOKENS: Final = 8192
"""What an answer may have where the caller sets no limit: Anthropic asks for one."""

REFUSED: Final = ("functions", "function_call", "logprobs", "top_logprobs", "audio", "web_search_options")
"""Fields that ask for something which Anthropic cannot give."""

IGNORED: Final = (
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "seed",
    "prediction",
    "store",
    "metadata",
    "verbosity",
    "moderation",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
)
"""Fields that wish for something: an answer without it is still an answer."""

_BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768, "max": 32_768}
"""Tokens of thinking by effort, for models that are told a number."""
_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_NUMBERED: Final = re.compile(r"claude-(3|(opus|sonnet|haiku)-4(-[015])?(-\d{6,})?$)")
"""Models that take a number of tokens for thinking; newer ones take an effort and choose for themselves."""
_JSON_ONLY: Final = "Answer with one JSON object and nothing else."


def anthropic_request(data: Mapping[str, Any], model: str, limit: int | None) -> tuple[dict[str, Any], list[str]]:
    """The body for `/v1/messages`, and the fields of the request that it leaves out.

    Args:
        data: OpenAI's request.
        limit: the most tokens that the answer may have; None where nothing limits it.

    Raises:
        Invalid: it asks for something that Anthropic cannot give.
    """
    refuse("Anthropic", data, REFUSED)
    if (data.get("n") or 1) > 1:
        refuse("Anthropic", {"n": data["n"]}, ("n",))
    system, messages = _conversation(data["messages"])
    if (data.get("response_format") or {}).get("type") == "json_object":
        system.append({"type": "text", "text": _JSON_ONLY})
    body: dict[str, Any] = {"model": model, "max_tokens": limit or MOST_TOKENS, "messages": messages}
    if system:
        body["system"] = system
    if data.get("stream"):
        body["stream"] = True
    if tools := data.get("tools"):
        body["tools"] = [_tool(tool) for tool in tools]
    if choice := _tool_choice(data):
        body["tool_choice"] = choice
    _sampling(data, body)
    _reasoning(data, body, model)
    _format(data, body)
    if user := data.get("safety_identifier") or data.get("user"):
        body["metadata"] = {"user_id": user}
    if tier := {"auto": "auto", "priority": "auto", "default": "standard_only"}.get(data.get("service_tier") or ""):
        body["service_tier"] = tier
    return body, [name for name in IGNORED if data.get(name) is not None]


def _sampling(data: Mapping[str, Any], body: dict[str, Any]) -> None:
    if (temperature := data.get("temperature")) is not None:
        body["temperature"] = min(temperature, 1.0)
    elif (top := data.get("top_p")) is not None:  # newer models refuse both together
        body["top_p"] = top
    if stop := data.get("stop"):
        body["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)


def _reasoning(data: Mapping[str, Any], body: dict[str, Any], model: str) -> None:
    effort = data.get("reasoning_effort")
    if effort is None or (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        return  # a forced tool and thinking exclude each other
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
        return
    if effort not in _EFFORTS:
        refuse("Anthropic", {"reasoning_effort": effort}, ("reasoning_effort",))
    if _NUMBERED.match(model):
        budget = _BUDGETS[effort]
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        if body["max_tokens"] <= budget:
            if data.get("max_tokens") or data.get("max_completion_tokens"):
                body["thinking"]["budget_tokens"] = max(1024, body["max_tokens"] // 2)
                body["max_tokens"] = max(body["max_tokens"], 2048)
            else:
                body["max_tokens"] += budget
    else:
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
        body["output_config"] = {"effort": _EFFORTS[effort]}
    body.pop("temperature", None)  # thinking allows none but the usual one
    body.pop("top_p", None)


def _format(data: Mapping[str, Any], body: dict[str, Any]) -> None:
    wanted = data.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema") or {"type": "object"}
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict):
        refuse("Anthropic", {"tools": tool.get("type")}, ("tools",))
    assert isinstance(function, dict)  # noqa: S101 - refused above
    made = {
        "name": function.get("name"),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    made |= {name: function[name] for name in ("description", "strict") if function.get(name) is not None}
    return made


def _tool_choice(data: Mapping[str, Any]) -> dict[str, Any] | None:
    choice = data.get("tool_choice")
    if not data.get("tools"):
        return None
    made: dict[str, Any]
    if isinstance(choice, dict):
        made = {"type": "tool", "name": (choice.get("function") or {}).get("name")}
    elif choice in (None, "auto"):
        made = {"type": "auto"}
    else:
        made = {"type": {"required": "any", "none": "none"}.get(choice, choice)}
    if data.get("parallel_tool_calls") is False and made["type"] != "none":
        made["disable_parallel_tool_use"] = True
    return made if choice is not None or len(made) > 1 else None


def _conversation(messages: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The system prompt, and the turns of user and assistant."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = message["role"]
        if role in ("system", "developer"):
            system.append({"type": "text", "text": text_of(message.get("content"))})
            continue
        blocks = _BLOCKS.get(role, _unknown)(message)
        side = "assistant" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == side:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": side, "content": blocks})
    return [block for block in system if block["text"]], turns


def _user(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_part(part) for part in parts_of(message.get("content"))]


def _assistant(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = list(message.get("thinking_blocks") or ())
    if text := text_of(message.get("content")) or message.get("refusal"):
        blocks.append({"type": "text", "text": text})
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        blocks.append(
            {
                "type": "tool_use",
                "id": call.get("id"),
                "name": function.get("name"),
                "input": _arguments(function.get("arguments")),
            }
        )
    return blocks


def _tool_result(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    result = content if isinstance(content, str) else [_part(part) for part in parts_of(content)]
    return [{"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": result}]


def _unknown(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    refuse("Anthropic", {"messages": f"the role {message['role']}"}, ("messages",))
    return []


_BLOCKS: Final = {"user": _user, "assistant": _assistant, "tool": _tool_result}


def _arguments(text: Any) -> Any:
    try:
        value = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, TypeError):
        return {"arguments": text}  # a model's own malformed JSON: it may still see what it wrote
    return value if isinstance(value, dict) else {"arguments": value}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "text": part.get("text", "")}
    if kind == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        if (found := data_url(url)) is not None:
            return {"type": "image", "source": {"type": "base64", "media_type": found[0], "data": found[1]}}
        return {"type": "image", "source": {"type": "url", "url": url}}
    if kind == "file" and (found := data_url((part.get("file") or {}).get("file_data"))) is not None:
        return {"type": "document", "source": {"type": "base64", "media_type": found[0], "data": found[1]}}
    refuse("Anthropic", {"messages": f"a part of the type {kind}"}, ("messages",))
    return {}
