"""Translation of requests and answers, beyond plain text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.errors import Invalid
from runtime.services.ai.failures import of_event, of_status
from runtime.services.ai.request import ChatRequest
from runtime.services.ai.sse import Events
from runtime.services.ai.usage import Usage
from runtime.services.ai.wire.anthropic import AnthropicWire
from runtime.services.ai.wire.mistral import MistralWire
from runtime.services.ai.wire.openai import OpenAiWire
from runtime.services.ai.wire.parts import Unsupported
from runtime.services.retry_after import NEVER, retry_after

PICTURE = "data:image/png;base64,iVBORw0KGgo="
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}}
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
        {"id": "call_2", "type": "function", "function": {"name": "add", "arguments": ""}},
    ]},
    {"role": "tool", "tool_call_id": "call_1", "content": "2"},
    {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "3"}]},
    {"role": "user", "content": "Thanks."},
    {"role": "developer", "content": "Be polite."},
]  # fmt: skip


def request(**fields: Any) -> ChatRequest:
    return ChatRequest(json.dumps({"model": "x", "messages": [{"role": "user", "content": "Hi"}], **fields}).encode())


def to_anthropic(model: str = "claude-sonnet-5", limit: int | None = None, **fields: Any) -> dict[str, Any]:
    asked = request(**fields)
    body: dict[str, Any] = json.loads(AnthropicWire().request(asked, model, asked.limited(limit))[0])
    return body


def to_mistral(**fields: Any) -> dict[str, Any]:
    asked = request(**fields)
    body: dict[str, Any] = json.loads(MistralWire(lambda: True).request(asked, "m", asked.limited(None))[0])
    return body


def test_a_conversation_with_pictures_and_tools_for_anthropic() -> None:
    body = to_anthropic(messages=TALK, tools=[TOOL], tool_choice="required", parallel_tool_calls=False)
    assert body["system"] == [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be polite."}]
    assert body["messages"] == [
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        ]},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1}},
            {"type": "tool_use", "id": "call_2", "name": "add", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": "2"},
            {"type": "tool_result", "tool_use_id": "call_2", "content": [{"type": "text", "text": "3"}]},
            {"type": "text", "text": "Thanks."},
        ]},
    ]  # fmt: skip
    assert body["tools"] == [{"name": "add", "description": "Adds.", "input_schema": {"type": "object"}}]
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert body["max_tokens"] == 8192


def test_switches_for_anthropic() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": schema}}
    body = to_anthropic(
        response_format=wanted, reasoning_effort="high", temperature=1.5, stop="end", max_tokens=77, user="ada",
        stream=True, service_tier="default",
    )  # fmt: skip
    assert body["output_config"] == {"effort": "high", "format": {"type": "json_schema", "schema": schema}}
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert "temperature" not in body
    assert (body["stop_sequences"], body["max_tokens"], body["stream"]) == (["end"], 77, True)
    assert (body["metadata"], body["service_tier"]) == ({"user_id": "ada"}, "standard_only")
    assert to_anthropic(temperature=1.5)["temperature"] == 1.0
    assert to_anthropic(limit=5, max_tokens=9)["max_tokens"] == 5
    old = to_anthropic("claude-sonnet-4-5", reasoning_effort="medium")
    assert old["thinking"] == {"type": "enabled", "budget_tokens": 8192}
    assert old["max_tokens"] > 8192
    assert to_anthropic(reasoning_effort="none")["thinking"] == {"type": "disabled"}
    forced = to_anthropic(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "add"}})
    assert forced["tool_choice"] == {"type": "tool", "name": "add"}
    assert to_anthropic(response_format={"type": "json_object"})["system"][0]["text"].startswith("Answer with one JSON")
    _, ignored = AnthropicWire().request(request(seed=7, logit_bias={}), "claude", None)
    assert list(ignored) == ["logit_bias", "seed"]


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"logprobs": True},
        {"functions": [{}]},
        {"audio": {"voice": "a"}},
        {"tools": [{"type": "custom"}]},
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
        {"messages": [{"role": "oracle", "content": "x"}]},
        {"reasoning_effort": "endless"},
    ],
)
def test_what_anthropic_cannot_give_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        to_anthropic(**fields)


def test_a_picture_without_an_address_is_the_caller_s_fault() -> None:
    for url in ("", 7, "data:image/png,abc"):
        content = [{"type": "image_url", "image_url": {"url": url}}]
        with pytest.raises(Invalid):
            to_anthropic(messages=[{"role": "user", "content": content}])


def test_an_answer_of_anthropic_with_all_its_parts() -> None:
    message = {
        "id": "msg", "type": "message", "role": "assistant", "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "s1"},
            {"type": "text", "text": "Two."},
            {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}},
            {"type": "tool_use", "id": "t2", "name": "sub", "input": {}},
        ],
        "stop_reason": "tool_use",
        "usage": {
            "input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 9,
            "output_tokens_details": {"thinking_tokens": 4},
        },
    }  # fmt: skip
    answer = AnthropicWire().answer(json.dumps(message).encode(), request())
    assert answer.usage == Usage(input=5, cached_input=3, cache_write=2, output=5, reasoning=4)
    body = json.loads(answer.body)
    assert body["usage"]["prompt_tokens"] == 10
    assert body["usage"]["completion_tokens"] == 9
    choice = body["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant", "content": "Two.", "refusal": None,
        "reasoning_content": "Hm.",
        "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "s1"}],
        "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
            {"id": "t2", "type": "function", "function": {"name": "sub", "arguments": "{}"}},
        ],
    }  # fmt: skip
    back = to_anthropic(messages=[{"role": "user", "content": "?"}, choice["message"]])
    assert back["messages"][1]["content"] == message["content"]


def test_a_stream_of_anthropic_with_thinking_and_two_tools() -> None:
    told: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "m", "model": "claude", "usage": {"input_tokens": 5}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s1"}},
        {"type": "content_block_stop", "index": 0},
    ]
    for index, name in ((1, "add"), (2, "sub")):
        told += [
            {"type": "content_block_start", "index": index,
             "content_block": {"type": "tool_use", "id": f"t{index}", "name": name, "input": {}}},
            {"type": "content_block_delta", "index": index,
             "delta": {"type": "input_json_delta", "partial_json": '{"a"'}},
            {"type": "content_block_delta", "index": index,
             "delta": {"type": "input_json_delta", "partial_json": ": 1}"}},
            {"type": "content_block_stop", "index": index},
        ]  # fmt: skip
    told += [
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    asked = request(stream=True, stream_options={"include_usage": True})
    piece = AnthropicWire().reader(asked).read([json.dumps(event).encode() for event in told])
    assert piece.begun
    assert piece.ended
    assert piece.usage == Usage(input=5, output=7)
    chunks = [json.loads(event) for event in Events().feed(piece.data)]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Hm."
    signed = [delta["thinking_blocks"] for delta in deltas if "thinking_blocks" in delta]
    assert signed == [[{"type": "thinking", "thinking": "Hm.", "signature": "s1"}]]
    calls: dict[int, dict[str, str]] = {}
    for delta in deltas:
        for call in delta.get("tool_calls", ()):
            known = calls.setdefault(call["index"], {"name": "", "arguments": ""})
            for part in known:
                known[part] += call["function"].get(part, "")
    assert calls == {0: {"name": "add", "arguments": '{"a": 1}'}, 1: {"name": "sub", "arguments": '{"a": 1}'}}
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 12


def test_a_conversation_for_mistral() -> None:
    body = to_mistral(
        messages=TALK, tools=[TOOL], tool_choice="required", seed=3, max_tokens=9, user="ada", store=True,
        stream=True, stream_options={"include_usage": True}, temperature=0.1,
    )  # fmt: skip
    assert [message["role"] for message in body["messages"]] == [
        "system", "user", "assistant", "tool", "tool", "user", "system",
    ]  # fmt: skip
    calls = body["messages"][2]["tool_calls"]
    results = [message["tool_call_id"] for message in body["messages"][3:5]]
    assert [call["id"] for call in calls] == results
    assert all(len(id_) == 9 and id_.isalnum() for id_ in results)
    assert body["messages"][1]["content"][1] == {"type": "image_url", "image_url": PICTURE}
    assert (body["random_seed"], body["safe_prompt"], body["tool_choice"]) == (3, True, "required")
    assert set(body) == {
        "model", "messages", "tools", "tool_choice", "random_seed", "safe_prompt", "stream", "temperature",
        "max_tokens",
    }  # fmt: skip
    _, ignored = MistralWire().request(request(store=True), "m", None)
    assert list(ignored) == ["store"]


def test_mistral_s_own_words_are_replaced_and_nothing_else() -> None:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
            {"type": "text", "text": "Two."},
        ],
        "tool_calls": [{"id": "abc", "function": {"name": "add", "arguments": {"a": 1}}}],
    }
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    body: dict[str, Any] = {"id": "1", "choices": [{"message": message, "finish_reason": "model_length"}]}
    answer = MistralWire().answer(json.dumps({**body, "usage": usage}).encode(), request())
    choice = json.loads(answer.body)["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"] == "Two."
    assert choice["message"]["reasoning_content"] == "Hm."
    call = choice["message"]["tool_calls"][0]
    assert call == {"id": "abc", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    plain = json.dumps(
        {"choices": [{"message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]}, indent=1
    )
    assert MistralWire().answer(plain.encode(), request()).body == plain.encode()
    chunk = {"choices": [{"delta": message, "finish_reason": None}]}
    piece = MistralWire().reader(request()).read([json.dumps(chunk).encode(), b"[DONE]"])
    delta = json.loads(Events().feed(piece.data)[0])["choices"][0]["delta"]
    assert (delta["content"], delta["reasoning_content"], delta["tool_calls"][0]["index"]) == ("Two.", "Hm.", 0)
    assert piece.ended


def test_the_usage_event_is_the_caller_s_only_where_it_asked() -> None:
    counted = {"prompt_tokens": 10, "completion_tokens": 6, "prompt_tokens_details": {"cached_tokens": 4},
               "completion_tokens_details": {"reasoning_tokens": 5}}  # fmt: skip
    event = json.dumps({"choices": [], "usage": counted}).encode()
    for options, kept in (({}, False), ({"stream_options": {"include_usage": True}}, True)):
        piece = OpenAiWire().reader(request(stream=True, **options)).read([event])
        assert piece.usage == Usage(input=6, cached_input=4, output=1, reasoning=5)
        assert bool(piece.data) == kept
    body = json.loads(OpenAiWire().request(request(stream=True, stream_options=None), "m", None)[0])
    assert body["stream_options"] == {"include_usage": True}
    assert json.loads(OpenAiWire("max_tokens").request(request(), "m", 7)[0])["max_tokens"] == 7
    assert json.loads(OpenAiWire().request(request(max_tokens=9, n=2), "m", 3)[0])["max_tokens"] == 3


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_events_are_put_together_wherever_they_are_cut(size: int, end: bytes) -> None:
    lines = [
        b": hello",
        b"event: x",
        b'data: {"a":',
        b"data: 1}",
        b"",
        b"data:two",
        b"id: 7",
        b"",
        b"retry: 5",
        b"",
        b"",
    ]
    text = end.join(lines) + b"data: [DONE]" + end * 2
    events = Events()
    found = [event for at in range(0, len(text), size) for event in events.feed(text[at : at + size])]
    assert found == [b'{"a":\n1}', b"two", b"[DONE]"]
    assert not events.cut


def test_retry_after_in_every_form() -> None:
    assert retry_after({"Retry-After": "3"}) == 3.0
    assert retry_after({"RETRY-AFTER": "-3"}) == 0.0
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, now=1445412420.0) == 60.0
    assert retry_after({"retry-after": "1e400"}) == float("inf")
    for nonsense in ("", "soon", "nan", "Wed, 99 Oct"):
        assert retry_after({"retry-after": nonsense}) is None


def test_failures_are_told_apart_by_what_they_say() -> None:
    said = {"error": {"message": "no", "code": "context_length_exceeded"}}
    assert of_status(400, said).kind == "context_window"
    assert of_status(400, {"message": "Prompt is too large for model with 8 maximum context length"}).kind == (
        "context_window"
    )
    assert of_status(422, {"detail": [{"msg": "x"}]}).kind == "invalid_request"
    assert of_status(429, {"error": {"type": "insufficient_quota"}}).retry_after == NEVER
    assert of_status(402, "pay").retry_after == NEVER
    assert of_status(418, None).kind == "invalid_request"
    assert of_status(599, [7]).kind == "server_error"
    assert of_status(204, "").kind == "malformed"
    assert of_event({"error": "what?"}).kind == "server_error"
    assert of_event({"type": "error", "error": {"type": "rate_limit_error"}}).kind == "rate_limit"
