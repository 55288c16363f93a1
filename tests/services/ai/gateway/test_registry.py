"""The states of providers: shared between instances, and left again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runtime.services.ai.breaker import LocalConditions
from runtime.services.ai.failures import Failure
from runtime.spec.fields import Breaker
from tests.services.ai.gateway.conftest import Keys
from tests.services.ai.gateway.formats import answering, error
from tests.services.ai.gateway.test_chains import status
from tests.services.ai.gateway.upstream import upstream

if TYPE_CHECKING:
    from tests.services.ai.gateway.conftest import Launch, Running
    from tests.services.ai.gateway.upstream import Hit, Sender
    from tests.services.conftest import Server

FEW = {"failures": 2, "window": "60s", "cooldown": "300ms"}


async def until(gateway: Running, provider: str, state: str) -> None:
    async with asyncio.timeout(15):
        while gateway.state(provider) != state:
            await asyncio.sleep(0.01)


async def test_the_figures_of_a_breaker() -> None:
    now = [1000.0]
    conditions = LocalConditions(lambda: now[0])
    breaker = Breaker.model_validate({"failures": 3, "window": "10s", "cooldown": "5s"})
    for _ in range(2):
        await conditions.failed("a", breaker, "x")
    now[0] += 11
    for _ in range(2):
        assert (await conditions.failed("a", breaker, "x")).state == "active"
    assert (await conditions.failed("a", breaker, "x")).state == "cooldown"
    assert not await conditions.take_probe("a")
    now[0] += 5
    assert await conditions.take_probe("a")
    assert not await conditions.take_probe("a")
    assert (await conditions.failed("a", breaker, "x")).until == now[0] + 5
    now[0] += 5
    assert await conditions.take_probe("a")
    await conditions.release("a")
    assert await conditions.take_probe("a")
    await conditions.restore("a")
    assert conditions["a"].state == "active"
    assert conditions["b"].state == "active"


async def test_instances_learn_from_each_other_and_one_call_tries_again(launch: Launch) -> None:
    async with upstream(status(500)) as server:
        chains = {"default": {"models": ["openai/a"], "attempts": 1}}
        breaker = {**FEW, "cooldown": "3s"}
        one, two = [await launch({"openai": server.url}, chains=chains, breaker=breaker) for _ in range(2)]
        await one.chat()
        await two.chat()
        assert two.state("openai") == "cooldown"
        await until(one, "openai", "cooldown")
        refused = await one.chat()
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert "left alone" in refused.json()["error"]["message"]
        assert len(server.hits) == 2
        while (left := one.service.providers()[0].retry_in) is None or left > 0:
            await asyncio.sleep(0.05)
        held = asyncio.Event()

        async def good(hit: Hit, send: Sender) -> None:
            await held.wait()
            await answering("openai")(hit, send)

        server.answer = good
        calls = [asyncio.create_task(gateway.chat()) for gateway in (one, two, one, two)]
        done, probing = await asyncio.wait(calls, timeout=2)
        assert sorted(call.result().status_code for call in done) == [503] * 3
        held.set()
        assert (await probing.pop()).status_code == 200
        assert len(server.hits) == 3
        await until(one, "openai", "active")
        await until(two, "openai", "active")


async def test_a_refused_key_disables_until_it_is_taken_again(launch: Launch) -> None:
    keys = {"sk-new"}

    async def strict(hit: Hit, send: Sender) -> None:
        if hit.headers["authorization"].removeprefix("Bearer ") in keys:
            await answering("openai")(hit, send)
        else:
            await send.whole(error("openai", "wrong key", "invalid_request_error", "invalid_api_key"), 401)

    async with upstream(strict) as server:
        gateway = await launch({"openai": server.url}, breaker=FEW)
        assert (await gateway.chat("openai/a")).status_code == 502
        assert gateway.state("openai") == "disabled"
        assert (await gateway.service.health()).status == "down"
        assert (await gateway.chat("openai/a")).status_code == 503
        assert [hit.path for hit in server.hits if hit.method == "POST"] == ["/v1/chat/completions"]
        # A new key holds at once.
        client = gateway.service.registry.clients["openai"]
        await client.update({"api_key": "sk-new"})
        await until(gateway, "openai", "active")
        assert (await gateway.chat("openai/a")).status_code == 200
        # An old one that is taken again is found out by a probe.
        keys.clear()
        await gateway.chat("openai/a")
        assert gateway.state("openai") == "disabled"
        keys.add("sk-new")
        await until(gateway, "openai", "active")
        assert server.hits[-1].path == "/v1/models"


async def test_a_rotated_key_disturbs_no_call_that_runs(launch: Launch) -> None:
    held = asyncio.Event()

    async def late(hit: Hit, send: Sender) -> None:
        await held.wait()
        await answering("openai")(hit, send)

    async with upstream(late) as server:
        gateway = await launch({"openai": server.url})
        old = asyncio.create_task(gateway.chat("openai/a"))
        while not server.hits:
            await asyncio.sleep(0.002)
        await gateway.service.registry.clients["openai"].update({"api_key": "sk-2", "timeout": "5s"})
        held.set()
        assert (await old).status_code == 200
        assert (await gateway.chat("openai/a")).status_code == 200
        assert [hit.headers["authorization"] for hit in server.hits] == ["Bearer sk-openai", "Bearer sk-2"]
        assert gateway.service.providers()[0].timeout == 5.0


async def test_a_user_s_own_key_is_used_and_blames_nobody_else(launch: Launch) -> None:
    async def strict(hit: Hit, send: Sender) -> None:
        if hit.headers["authorization"] == "Bearer sk-mine":
            await send.whole(error("openai", "wrong key"), 401)
        else:
            await answering("openai")(hit, send)

    keys = Keys()
    keys.known["key:operator", "openai"] = "sk-mine"
    async with upstream(strict) as server:
        gateway = await launch({"openai": server.url}, keys=keys, breaker={"failures": 1})
        answered = await gateway.chat("openai/a")
        assert answered.status_code == 400
        assert answered.json()["error"]["code"] == "invalid_provider_key"
        assert "sk-mine" not in answered.text
        assert gateway.books.calls[0].candidates[0].own_key
        assert gateway.state("openai") == "active"
        completion = await gateway.service.chat(
            {"model": "openai/a", "messages": [{"role": "user", "content": "Hi"}]}, user="ada"
        )
        assert completion.plain()["choices"][0]["message"]["content"] == "Hello, world."


async def test_a_caller_s_fault_never_counts(launch: Launch) -> None:
    async with upstream(status(400)) as server:
        gateway = await launch({"openai": server.url}, breaker={"failures": 1})
        for _ in range(3):
            assert (await gateway.chat("openai/a")).status_code == 400
        assert gateway.state("openai") == "active"
        assert len(server.hits) == 3


async def test_each_goes_on_alone_while_redis_is_away(launch: Launch, mortal_server: Server) -> None:
    over = mortal_server.client()
    async with upstream(status(500)) as bad, over:
        gateway = await launch({"openai": bad.url}, over=over, breaker={"failures": 2, "cooldown": "60s"})
        mortal_server.kill()
        assert (await gateway.chat("openai/a")).status_code == 502
        assert gateway.state("openai") == "cooldown"
        assert (await gateway.chat("openai/a")).status_code == 503
        assert len(bad.hits) == 2


def test_what_a_failure_says_of_the_key() -> None:
    assert Failure("authentication", "x", status=401).disables
    assert not Failure("authentication", "x", status=403).disables
    assert not Failure("authentication", "x", status=401, own_key=True).disables
    assert not Failure("rate_limit", "x", own_key=True).counted
