"""Limits of requests and tokens, over all instances and without Redis."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import TooMany, Unreachable
from runtime.services.ai.allowance import Counters
from runtime.services.ai.limits import Limits
from runtime.services.ai.spec import AiLimits
from runtime.spec.units import Rate
from tests.services.ai.books.conftest import attempt, call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from runtime.storage.wire import WiredRedis
    from tests.services.ai.books.conftest import Instance
    from tests.services.conftest import Server

    Make = Callable[..., Awaitable[Instance]]

HOUR = 3600.0


def limits(client: Any, name: str = "a", **fields: Any) -> Limits:
    return Limits(client, "rt:test:ai:", instance=name, **fields)


def only(requests: str | None = None, tokens: str | None = None) -> AiLimits:
    return AiLimits.model_validate({"requests": requests, "tokens": tokens})


@pytest.fixture(autouse=True)
def _middle_of_an_hour() -> None:
    """Windows are of an hour here; none is to end during a test."""
    if (left := HOUR - time.time() % HOUR) < 30:
        time.sleep(left)


async def test_instances_together_never_pass_a_limit_and_use_nearly_all_of_it(
    client: WiredRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.services.ai.limits.PATIENCE", 30.0)  # a thousand at once, on a machine that is busy
    every = [limits(client, str(number)) for number in range(4)]
    declared = only("200/h")

    async def hit(at: Limits) -> bool:
        try:
            await at.take(at.needs("user", "ada", declared, 0), ())
        except TooMany as error:
            return error.retry_after <= 0
        return True

    passed = sum(await asyncio.gather(*(hit(every[number % 4]) for number in range(1000))))
    assert 190 <= passed <= 200
    assert sum(at.asked for at in every) <= 1000


async def test_far_from_a_limit_few_calls_ask_redis(client: WiredRedis) -> None:
    at = limits(client)
    for _ in range(200):
        assert await at.take(at.needs("user", "ada", only("1000000/h", "100000000/h"), 100), ()) is None
    assert at.asked < 60  # each answer is good for a second, on a slow machine too


async def test_tokens_are_counted_as_they_turn_out(client: WiredRedis) -> None:
    at, declared = limits(client), only(tokens="1000/h")

    async def take(tokens: int) -> Any:
        needs = at.needs("model", "p/m", declared, tokens)
        refused = await at.take((), needs)
        return needs if refused is None else refused

    first = await take(900)
    assert isinstance(await take(200), TooMany)
    at.settle(first, 100)  # it took 100 of 900
    assert not isinstance(await take(700), TooMany)
    late = await take(200)
    assert not isinstance(late, TooMany)
    at.settle(late, 600)  # and this one more than it had asked for
    assert isinstance(await take(1), TooMany)


async def test_what_is_larger_than_the_whole_limit_waits_for_an_empty_window(client: WiredRedis) -> None:
    at = limits(client)
    large = at.needs("model", "p/m", only(tokens="1000/h"), 5000)
    assert await at.take((), large) is None
    assert isinstance(await at.take((), at.needs("model", "p/m", only(tokens="1000/h"), 1)), TooMany)
    at.settle(large, 400)
    assert isinstance(await at.take((), at.needs("model", "p/m", only(tokens="1000/h"), 601)), TooMany)
    assert await at.take((), at.needs("model", "p/m", only(tokens="1000/h"), 600)) is None


async def test_a_refused_model_leaves_the_caller_counted_and_a_refused_caller_no_model(
    client: WiredRedis,
) -> None:
    at = limits(client)
    caller, model = only("3/h"), only("1/h")

    async def take() -> TooMany | None:
        return await at.take(at.needs("user", "ada", caller, 0), at.needs("provider", "p", model, 0))

    assert await take() is None
    for _ in range(2):
        refused = await take()
        assert refused is not None
        assert "requests of the provider p" in refused.message
    with pytest.raises(TooMany, match="requests of the user ada"):
        await take()
    other = only("2/h")
    for _ in range(2):
        assert await at.take((), at.needs("provider", "q", other, 0)) is None
    assert isinstance(await at.take((), at.needs("provider", "q", other, 0)), TooMany)


async def test_unused_grants_come_back_to_the_others(client: WiredRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.services.ai.limits.FRESH", 0.02)
    one, other = limits(client, "one"), limits(client, "other")
    declared = only("100/h")
    await one.take(one.needs("user", "ada", declared, 0), ())
    (grant,) = one._grants.values()
    assert grant.spare == 4
    task = asyncio.create_task(one.run())
    async with asyncio.timeout(10):
        while grant.spare:
            await asyncio.sleep(0.01)
    passed = 0
    while True:
        try:
            await other.take(other.needs("user", "ada", declared, 0), ())
        except TooMany:
            break
        passed += 1
    task.cancel()
    assert passed == 99


@pytest.mark.parametrize("policy", ["fail_closed", "local_share"])
async def test_while_redis_is_away(mortal_server: Server, policy: Any) -> None:
    client = mortal_server.client()
    one, other = limits(client, "one", policy=policy), limits(client, "other", policy=policy)
    declared = only("10/h")
    for at in (one, other):
        await at.take(at.needs("user", "bob", declared, 0), ())
    await one.take(one.needs("user", "bob", declared, 0), ())  # has heard of the other
    mortal_server.kill()

    refusal: type[Exception] = Unreachable if policy == "fail_closed" else TooMany

    async def passed(at: Limits) -> int:
        count = 0
        for _ in range(20):
            try:
                await at.take(at.needs("user", "ada", declared, 0), ())
            except refusal:
                continue
            count += 1
        return count

    assert await passed(one) == (0 if policy == "fail_closed" else 5)  # half of ten: there are two of them
    assert one.away
    mortal_server.start()
    one._ask_after = 0.0
    await one.take(one.needs("user", "ada", declared, 0), ())
    assert not one.away
    await client.aclose()


def test_counters_without_redis_count_in_a_sliding_window() -> None:
    counters, limit = Counters(), Rate(10, 60.0)
    assert counters.take("k", limit, 8, 0.0) == 0
    assert counters.take("k", limit, 3, 30.0) > 0
    wait = counters.take("k", limit, 6, 60.0)
    assert wait > 0
    assert counters.take("k", limit, 6, 60.0 + wait) == 0
    assert counters.take("k", limit, 10, 600.0) == 0


async def test_calls_are_counted_for_user_key_provider_and_model(instance: Make) -> None:
    providers = {
        "p": {
            "kind": "openai",
            "api_key": "k",
            "limits": {"requests": "100/h"},
            "models": {"m": {"limits": {"requests": "1/h"}}},
        },
        "q": {"kind": "mistral", "api_key": "k"},
    }
    section = {"providers": providers, "limits": {"user": {"requests": "3/h"}, "key": {"tokens": "1000000/h"}}}
    at = await instance(billing=False, **section)
    for number in range(3):
        of = call("p/m", "q/m")
        account = await at.accounts.open(of)
        if number:
            with pytest.raises(TooMany, match="requests of the model p/m"):
                await account.admit(of.candidates[0])
            await account.admit(of.candidates[1])
        else:
            await account.admit(of.candidates[0])
            await account.record(attempt(of, output=1, input=5))
        await account.close()
    with pytest.raises(TooMany, match="requests of the user user:ada"):
        await at.accounts.open(call("p/m"))
    await at.accounts.open(call("q/m", user="user:bob"))


async def test_without_limits_redis_is_never_asked(instance: Make) -> None:
    at = await instance(billing=False, over=None)
    of = call()
    account = await at.accounts.open(of)
    await account.admit(of.candidates[0])
    await account.close()
    assert at.books.limits.asked == 0


async def test_what_is_not_asked_after_all_counts_no_tokens(instance: Make) -> None:
    providers = {
        "p": {"kind": "openai", "api_key": "k", "limits": {"tokens": "1000/h"}},
        "q": {"kind": "mistral", "api_key": "k"},
    }
    at = await instance(billing=False, providers=providers)
    for _ in range(5):
        of = call("p/m", "q/m", max_output=900)
        account = await at.accounts.open(of)
        await account.admit(of.candidates[1])
        await account.close()
    account = await at.accounts.open(call("p/m", max_output=900))
    await account.admit(call("p/m").candidates[0])
    await account.close()
