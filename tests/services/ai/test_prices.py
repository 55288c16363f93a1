"""Our whole numbers against the package's decimals, over every model whose text it prices."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from runtime.services.ai.adapters.genai import PublishedPrices
from runtime.services.ai.nano import DOLLAR
from runtime.services.ai.prices import Price, Prices, PriceUnknown
from runtime.services.ai.spec import AiSpec
from runtime.services.ai.usage import Usage

TABLE = PublishedPrices()
KINDS = ("openai", "anthropic", "mistral")
MODELS = [
    (provider.id, model.id)
    for provider in get_snapshot().providers
    if provider.id in KINDS
    for model in provider.models
    if (meant := provider.find_model(model.id)) and meant.get_prices(datetime.now(UTC)).input_mtok is not None
]
TOKENS = st.integers(0, 400_000)
USAGES = st.builds(Usage, input=TOKENS, cached_input=TOKENS, cache_write=TOKENS, output=TOKENS, reasoning=TOKENS)


def theirs(provider: str, model: str, usage: Usage) -> Decimal:
    given_ = TheirUsage(
        input_tokens=usage.input + usage.cached_input + usage.cache_write,
        cache_read_tokens=usage.cached_input,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.output + usage.reasoning,
        output_reasoning_tokens=usage.reasoning,
    )
    return calc_price(given_, model, provider_id=provider).total_price


def found(provider: str, model: str) -> Price:
    price = TABLE.price(provider, None, model)
    assert price is not None
    return price


@given(st.sampled_from(MODELS), USAGES)
@example(("openai", "gpt-5"), Usage(input=1))
@example(("anthropic", "claude-sonnet-4-5"), Usage(input=200_000))
@example(("anthropic", "claude-sonnet-4-5"), Usage(input=200_001, output=1))
def test_costs_equal_the_packages_to_half_a_nano_dollar(model: tuple[str, str], usage: Usage) -> None:
    exact = theirs(*model, usage) * DOLLAR
    assert abs(found(*model).cost(usage) - exact) <= Decimal("0.5")


@given(st.sampled_from(MODELS), USAGES)
def test_no_usage_costs_more_than_its_bound(model: tuple[str, str], usage: Usage) -> None:
    price = found(*model)
    tokens_in = usage.input + usage.cached_input + usage.cache_write
    bound = price.bound(tokens_in, usage.output + usage.reasoning)
    assert price.cost(usage) <= bound
    out = price.affordable(bound, tokens_in)
    assert out is None or out >= usage.output + usage.reasoning
    if out is not None:
        assert price.bound(tokens_in, out) <= bound


def test_many_models_are_compared() -> None:
    assert len(MODELS) > 120
    assert {provider for provider, _ in MODELS} == set(KINDS)


@pytest.mark.parametrize("provider", [provider for provider in get_snapshot().providers if provider.id != "litellm"])
def test_every_priced_model_of_the_table_has_rates_of_its_own(provider: object) -> None:
    """Also those of other providers, which a compatible one's address leads to."""
    from runtime.services.ai.adapters.genai import _tiers

    usage = Usage(input=150_001, cached_input=49_999, output=1003)
    for model in provider.models:  # type: ignore[attr-defined]
        priced = model.get_prices(datetime.now(UTC))
        if priced.input_mtok is not None:
            theirs_ = priced.calc_price(TheirUsage(input_tokens=200_000, cache_read_tokens=49_999, output_tokens=1003))[
                "total_price"
            ]
            assert abs(Price(_tiers(priced), "").cost(usage) - theirs_ * DOLLAR) <= Decimal("0.5"), model.id


def spec(**sections: object) -> AiSpec:
    providers = {
        "openai": {"kind": "openai", "api_key": "k"},
        "groq": {"kind": "openai-compatible", "base_url": "https://api.groq.com/openai/v1"},
        "local": {"kind": "openai-compatible", "base_url": "http://localhost:8000/v1"},
        "mistral": {"kind": "mistral", "api_key": "k"},
        "echo": {"kind": "echo"},
    }
    return TypeAdapter(AiSpec).validate_python({"providers": providers, **sections})


def prices(**sections: object) -> Prices:
    made = spec(**sections)
    return Prices(made.providers, made.prices, TABLE)


def test_the_spec_overrides_the_table() -> None:
    override = {"openai/gpt-5": {"input": 0.0375, "output": 3, "cached_input": 0}}
    at = prices(prices=override)
    assert at.of("openai", "gpt-5").version == "spec"
    assert at.of("openai", "gpt-5").cost(Usage(input=1000, cached_input=1000, cache_write=1000, reasoning=1)) == 78_000
    at.update(spec().providers, {})
    assert at.of("openai", "gpt-5").version.startswith("genai-prices ")


def test_the_address_of_a_compatible_provider_tells_whose_prices_hold() -> None:
    assert prices().of("groq", "openai/gpt-oss-120b").cost(Usage(input=1_000_000)) > 0


@pytest.mark.parametrize(("provider", "model"), [("local", "llama"), ("openai", "gpt-none"), ("openai", "whisper-1")])
def test_an_unknown_price_names_the_override_to_add(provider: str, model: str) -> None:
    with pytest.raises(PriceUnknown) as refused:
        prices().of(provider, model)
    assert f"{provider}/{model}: {{input: " in refused.value.remedy


def test_an_echo_costs_nothing() -> None:
    assert prices().of("echo", "anything").cost(Usage(input=10**9)) == 0


def test_a_price_that_depends_on_the_time_is_looked_up_again() -> None:
    changing = next(
        model
        for provider in get_snapshot().providers
        if provider.id == "openai"
        for model in provider.models
        if isinstance(model.prices, list) and model.get_prices(datetime.now(UTC)).input_mtok is not None
    )
    assert found("openai", changing.id).until <= time.monotonic() + 60
    assert found("openai", "gpt-4").until == float("inf")


def test_mistrals_moderation_costs_what_mistral_says() -> None:
    at = prices()
    assert at.of("mistral", "mistral-moderation-latest").cost(Usage(input=1_000_000)) == DOLLAR // 10
    assert at.usual_check("mistral") == "mistral-moderation-latest"
