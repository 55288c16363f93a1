"""Chains: order, retries, one deadline over all, and the switches of what goes on to the next model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import TooMany
from tests.services.ai.gateway.formats import answering, completion, error
from tests.services.ai.gateway.test_gateway import streamed
from tests.services.ai.gateway.upstream import upstream

if TYPE_CHECKING:
    from tests.services.ai.gateway.conftest import Launch
    from tests.services.ai.gateway.upstream import Answering, Hit, Sender


def first(*answers: Answering) -> Answering:
    """Each answer once, the last for ever."""
    left = list(answers)

    async def next_(hit: Hit, send: Sender) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(hit, send)

    return next_


def status(code: int, body: Any = None, **headers: str) -> Answering:
    async def answer(hit: Hit, send: Sender) -> None:
        await send.whole(body or error("openai", "no", "x"), code, **headers)

    return answer


async def silent(hit: Hit, send: Sender) -> None:
    await hit.gone.wait()


async def test_a_model_is_asked_again_before_the_next_one(launch: Launch) -> None:
    async with upstream(first(status(500), answering("openai"))) as one, upstream(answering("openai")) as two:
        gateway = await launch({"openai": one.url, "openai2": two.url}, chains={"default": ["openai/a", "openai2/b"]})
        answered = await gateway.chat()
        assert answered.headers["x-runtime-provider"] == "openai"
        assert answered.headers["x-runtime-attempts"] == "2"
        assert gateway.books.outcomes == [("openai", "server_error"), ("openai", "ok")]
        assert [row.number for row in gateway.books.rows] == [1, 2]
        assert len(two.hits) == 0


async def test_retry_after_is_waited_for(launch: Launch) -> None:
    async with upstream(first(status(429, retry_after_ms="120"), answering("openai"))) as one:
        gateway = await launch({"openai": one.url})
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert (await gateway.chat("openai/a")).status_code == 200
        assert loop.time() - began >= 0.12


@pytest.mark.parametrize(
    ("code", "body", "switch"),
    [
        (500, None, "error"),
        (429, None, "rate_limit"),
        (400, error("openai", "too long", code="context_length_exceeded"), "context_window"),
        (413, None, "context_window"),
        (400, error("openai", "no", code="content_filter"), "content_filter"),
        (408, None, "timeout"),
    ],
)
async def test_each_way_of_failing_has_its_switch(launch: Launch, code: int, body: Any, switch: str) -> None:
    async with upstream(status(code, body)) as one, upstream(answering("openai")) as two:
        providers = {"openai": one.url, "openai2": two.url}
        for on in (True, False):
            chain = {"models": ["openai/a", "openai2/b"], "attempts": 1, "fallback": {switch: on}}
            gateway = await launch(providers, chains={"default": chain}, breaker={"failures": 9})
            answered = await gateway.chat()
            assert (answered.status_code == 200) == on
            assert (len(gateway.books.rows) == 2) == on


async def test_a_refused_answer_goes_on_where_the_chain_says_so(launch: Launch) -> None:
    refused = completion("")
    refused["choices"][0]["finish_reason"] = "content_filter"
    async with upstream(status(200, refused)) as one, upstream(answering("openai")) as two:
        chain = {"models": ["openai/a", "openai2/b"], "fallback": {"content_filter": True}}
        gateway = await launch({"openai": one.url, "openai2": two.url}, chains={"default": chain})
        assert (await gateway.chat()).headers["x-runtime-provider"] == "openai2"
        assert gateway.books.outcomes == [("openai", "content_filter"), ("openai2", "ok")]
        assert gateway.state("openai") == "active"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_one_deadline_holds_over_all_attempts(launch: Launch, stream: bool) -> None:
    async with upstream(silent) as one, upstream(silent) as two:
        chain = {"models": ["openai/a", "openai2/b"], "deadline": "400ms"}
        gateway = await launch({"openai": one.url, "openai2": two.url}, chains={"default": chain})
        answered = await gateway.chat(stream=stream)
        assert answered.status_code == 504
        assert answered.json()["error"]["code"] == "timeout"
        assert gateway.books.outcomes == [("openai", "timeout")]
        assert len(two.hits) == 0


async def test_no_long_wait_while_another_model_can_be_asked(launch: Launch) -> None:
    async with upstream(status(429, retry_after="20")) as one, upstream(answering("openai")) as two:
        gateway = await launch({"openai": one.url, "openai2": two.url}, chains={"default": ["openai/a", "openai2/b"]})
        async with asyncio.timeout(10):
            assert (await gateway.chat()).headers["x-runtime-provider"] == "openai2"
        assert gateway.books.outcomes == [("openai", "rate_limit"), ("openai2", "ok")]


async def test_a_wait_that_is_longer_than_the_deadline_is_not_begun(launch: Launch) -> None:
    async with upstream(status(429, retry_after="60")) as one, upstream(answering("openai")) as two:
        chain = {"models": ["openai/a", "openai2/b"], "deadline": "20s"}
        gateway = await launch({"openai": one.url, "openai2": two.url}, chains={"default": chain})
        async with asyncio.timeout(10):
            assert (await gateway.chat()).headers["x-runtime-provider"] == "openai2"
        assert len(one.hits) == 1


async def test_an_account_without_money_is_not_asked_again(launch: Launch) -> None:
    async with upstream(status(429, error("openai", "pay", "insufficient_quota", "insufficient_quota"))) as one:
        gateway = await launch({"openai": one.url})
        assert (await gateway.chat("openai/a")).status_code == 429
        assert len(one.hits) == 1


async def test_our_own_limit_of_a_provider_goes_on_to_the_next(launch: Launch) -> None:
    async with upstream(answering("openai")) as one, upstream(answering("openai")) as two:
        gateway = await launch({"openai": one.url, "openai2": two.url}, chains={"default": ["openai/a", "openai2/b"]})

        def full(candidate: Any) -> None:
            if candidate.provider == "openai":
                raise TooMany("openai is at its limit", retry_after=7.0)

        gateway.books.admit = full
        assert (await gateway.chat()).headers["x-runtime-provider"] == "openai2"
        alone = await gateway.chat("openai/a")
        assert alone.status_code in (429, 503)
        assert alone.headers["retry-after"] == "7"
        assert len(one.hits) == 0
        assert gateway.books.outcomes == [("openai2", "ok")]


async def test_what_a_provider_cannot_do_goes_to_one_that_can(launch: Launch) -> None:
    async with upstream(answering("anthropic")) as one, upstream(answering("openai")) as two:
        gateway = await launch(
            {"anthropic": one.url, "openai": two.url}, chains={"default": ["anthropic/a", "openai/b"]}
        )
        answered = await gateway.chat(n=2)
        assert answered.headers["x-runtime-provider"] == "openai"
        assert answered.headers["x-runtime-attempts"] == "1"
        alone = await gateway.chat("anthropic/a", n=2)
        assert alone.status_code == 400
        assert alone.json()["error"]["param"] == "n"
        assert len(one.hits) == 0


async def test_a_limit_above_the_model_s_own_is_learnt_from_its_refusal(launch: Launch) -> None:
    async def small(hit: Hit, send: Sender) -> None:
        asked = hit.json.get("max_completion_tokens", 0)
        if asked > 16_384:
            told = f"max_tokens is too large: {asked}. This model supports at most 16384 completion tokens"
            await send.whole(error("openai", told, code="invalid_value"), 400)
        else:
            await answering("openai")(hit, send)

    async with upstream(small) as one:
        gateway = await launch({"openai": one.url})
        for credit, sent in ((50_000, [50_000, None]), (60_000, [None]), (900, [900]), (500_000, [None])):
            one.hits.clear()
            gateway.books.credit = credit
            assert (await gateway.chat("openai/a")).status_code == 200
            assert [hit.json.get("max_completion_tokens") for hit in one.hits] == sent
        assert gateway.books.outcomes[:2] == [("openai", "invalid_request"), ("openai", "ok")]
        gateway.books.credit = 50_000
        asked = await gateway.chat("openai/a", max_completion_tokens=20_000)  # the caller's own limit is its own fault
        assert asked.status_code == 400


async def test_unknown_names_are_explained(launch: Launch) -> None:
    gateway = await launch({"echo": {"kind": "echo"}}, chains={"default": ["echo/a"]})
    for model, said in (("defalt", 'Did you mean "default"?'), ("ecko/a", 'Did you mean "echo"?'), ("echo/", "echo")):
        answered = await gateway.chat(model)
        assert answered.status_code == 404
        assert said in answered.json()["error"]["message"]
    answered = await gateway.http.post("/v1/chat/completions", content=b'{"model": "default", "messages": [7]}')
    assert answered.status_code == 400
    assert answered.json()["errors"] == [
        {"in": "body", "pointer": "/messages/0", "detail": "Expected `object`, got `int`"}
    ]
    odd = {"model": "default", "messages": [{"role": "user", "content": 7}]}
    assert (await gateway.http.post("/v1/chat/completions", json=odd)).status_code == 200


async def test_streams_fall_back_until_content_has_come(launch: Launch) -> None:
    async with upstream(status(529)) as one, upstream(answering("anthropic")) as two:
        chain = {"models": ["openai/a", "anthropic/b"], "attempts": 1}
        gateway = await launch({"openai": one.url, "anthropic": two.url}, chains={"default": chain})
        answered = await gateway.chat(stream=True)
        assert streamed(answered.text) == "Hello, world."
        assert answered.headers["x-runtime-provider"] == "anthropic"
        assert answered.headers["x-runtime-attempts"] == "2"
