"""Each provider, each fault, with and without a stream: its class, what follows, and one row for each attempt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.ai.gateway.faults import BROKEN, LATE, STATUSES, Fault, breaking, failing, slow, unaccepting
from tests.services.ai.gateway.formats import KINDS, TEXT, WORDS, answering
from tests.services.ai.gateway.test_gateway import streamed
from tests.services.ai.gateway.upstream import nowhere, upstream

if TYPE_CHECKING:
    import httpx

    from tests.services.ai.gateway.conftest import Launch

FAULTS: dict[str, Fault] = {name: about[3] for name, about in STATUSES.items()} | BROKEN
QUICK = {"breaker": {"failures": 1, "window": "60s", "cooldown": "60s"}}


def provider(kind: str, url: str, timeout: str = "300ms") -> dict[str, Any]:
    base = url + ("/v1" if kind == "openai" else "")
    return {"kind": kind, "api_key": "sk-1", "base_url": base, "timeout": timeout}


def said(answered: httpx.Response, *, stream: bool) -> str:
    """What the caller was told, to the letter."""
    if stream:
        return streamed(answered.text)
    content: str = answered.json()["choices"][0]["message"]["content"]
    return content


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_before_any_content(launch: Launch, kind: str, fault: str, stream: bool) -> None:
    expected = FAULTS[fault]
    if stream and fault == "truncation":  # half a body is no JSON, half a stream is a stream
        expected = expected._replace(outcome="truncated")
    timeout = "300ms" if fault == "read timeout" else "10s"
    async with upstream(failing(kind, fault)) as bad, upstream(answering("openai")) as good:
        chains = {"default": {"models": [f"{kind}/m-1", "openai2/m-2"], "attempts": 1}}
        gateway = await launch({kind: provider(kind, bad.url, timeout), "openai2": good.url}, chains=chains, **QUICK)
        answered = await gateway.chat(stream=stream)
        if expected.next:
            assert answered.status_code == 200, answered.text
            assert said(answered, stream=stream) == TEXT
            assert answered.headers["x-runtime-provider"] == "openai2"
            assert answered.headers["x-runtime-attempts"] == "2"
            assert gateway.books.outcomes == [(kind, expected.outcome), ("openai2", "ok")]
        else:
            assert answered.status_code == expected.status
            assert gateway.books.outcomes == [(kind, expected.outcome)]
        assert (len(bad.hits), len(good.hits)) == (1, int(expected.next))
        assert [row.number for row in gateway.books.rows] == list(range(1, len(gateway.books.rows) + 1))
        assert gateway.books.rows[0].usage.total == 0
        assert len(gateway.books.closed) == 1
        assert gateway.state(kind) == expected.state
        # The next call does not ask a provider that is known to be bad.
        await gateway.chat(stream=stream)
        assert len(bad.hits) == (2 if expected.state == "active" else 1)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_model_alone_is_asked_again_where_that_may_help(launch: Launch, kind: str, fault: str) -> None:
    expected = FAULTS[fault]
    timeout = "200ms" if fault == "read timeout" else "10s"
    async with upstream(failing(kind, fault)) as bad:
        gateway = await launch({kind: provider(kind, bad.url, timeout)}, breaker={"failures": 9})
        answered = await gateway.chat(f"{kind}/m-1")
        hits = 2 if expected.again else 1
        assert len(bad.hits) == hits
        assert gateway.books.outcomes == [(kind, expected.outcome)] * hits
        assert answered.status_code == expected.status, answered.text
        problem = answered.json()
        assert problem["error"]["message"].startswith(problem["detail"])
        assert "sk-1" not in answered.text
        if expected.status == 429:
            assert int(answered.headers["retry-after"]) >= 1


@pytest.mark.parametrize("fault", LATE)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_that_breaks_later_says_so_and_repeats_nothing(launch: Launch, kind: str, fault: str) -> None:
    outcome, state = LATE[fault]
    timeout = "300ms" if fault == "silence" else "10s"
    async with upstream(breaking(kind, fault)) as bad, upstream(answering("openai")) as good:
        chains = {"default": [f"{kind}/m-1", "openai2/m-2"]}
        gateway = await launch({kind: provider(kind, bad.url, timeout), "openai2": good.url}, chains=chains, **QUICK)
        answered = await gateway.chat(stream=True)
        *_, last, rest = answered.text.split("\n\n")
        assert rest == ""
        error = json.loads(last.removeprefix("data: "))["error"]
        assert error["code"] == outcome
        assert "[DONE]" not in answered.text
        before = answered.text.removesuffix(f"{last}\n\n")
        assert streamed(before) == "".join(WORDS[:2])
        assert (len(bad.hits), len(good.hits)) == (1, 0)
        assert gateway.books.outcomes == [(kind, outcome)]
        row = gateway.books.rows[0]
        assert row.usage.estimated
        assert row.usage.input > 0
        assert row.usage.output > 0
        assert gateway.state(kind) == state


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_slow_provider_is_waited_for(launch: Launch, kind: str, stream: bool) -> None:
    async with upstream(slow(kind)) as late:
        gateway = await launch({kind: provider(kind, late.url, "10s")}, **QUICK)
        answered = await gateway.chat(f"{kind}/m-1", stream=stream)
        assert said(answered, stream=stream) == TEXT
        assert gateway.books.outcomes == [(kind, "ok")]
        assert gateway.state(kind) == "active"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_provider_out_of_reach(launch: Launch, kind: str, stream: bool) -> None:
    with unaccepting() as deaf:
        gateway = await launch({kind: provider(kind, deaf)}, **QUICK)
        answered = await gateway.chat(f"{kind}/m-1", stream=stream)
        assert answered.status_code == 504
        assert gateway.books.outcomes == [(kind, "timeout")]
        assert gateway.state(kind) == "cooldown"
    gateway = await launch({f"{kind}": provider(kind, await nowhere())}, breaker={"failures": 9})
    await gateway.service.registry.renewed(kind)
    answered = await gateway.chat(f"{kind}/m-1", stream=stream)
    assert answered.status_code == 502
    assert gateway.books.outcomes == [(kind, "connection")] * 2
