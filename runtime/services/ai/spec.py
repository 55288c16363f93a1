"""The `ai` section: providers of models, chains of them, safety, budgets and prices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from runtime.spec.fields import Breaker, Items, Keyed, Live, Named, Ref, Section, Shorthand, section, setting
from runtime.spec.kinds import Dollars, Duration, ModelName, Positive, Price, Rate, Secret, Switch, Text, Url

ProviderName = Annotated[Text, Ref("ai.providers")]
DeclaredModel = Annotated[ModelName, Ref("ai.models")]


class AiLimits(Section):
    """How much may be asked in a unit of time, over all instances."""

    requests: Rate | None = setting(None, "Requests.", example="500/m")
    tokens: Rate | None = setting(None, "Tokens, in and out.", example="200000/m")


class ModelSpec(Section):
    """What is particular to one model of a provider."""

    limits: AiLimits = section("How much may be asked of this model.")


class Provider(Section):
    """What every provider has."""

    limits: Live[AiLimits] = section("How much may be asked of this provider.")
    timeout: Live[Duration] = setting("60s", "How long one try may take.", example="2m")
    models: Keyed[Text, ModelSpec] = setting(
        {}, "What is particular to some models.", example={"gpt-5": {"limits": {"requests": "100/m"}}}
    )


class OpenAiProvider(Provider):
    """OpenAI."""

    kind: Literal["openai"] = setting(..., "OpenAI.", example="openai")
    api_key: Secret = setting(..., "The key of the account.", example="${OPENAI_API_KEY}")
    base_url: Url | None = setting(None, "Another address than OpenAI's own.", example="https://eu.api.openai.com/v1")
    organization: Text | None = setting(None, "The organization that is charged.", example="org-core")
    project: Text | None = setting(None, "The project that is charged.", example="proj_core")


class AnthropicProvider(Provider):
    """Anthropic."""

    kind: Literal["anthropic"] = setting(..., "Anthropic.", example="anthropic")
    api_key: Secret = setting(..., "The key of the account.", example="${ANTHROPIC_API_KEY}")
    base_url: Url | None = setting(
        None, "Another address than Anthropic's own.", example="https://ai-proxy.example.com"
    )


class MistralProvider(Provider):
    """Mistral."""

    kind: Literal["mistral"] = setting(..., "Mistral.", example="mistral")
    api_key: Secret = setting(..., "The key of the account.", example="${MISTRAL_API_KEY}")
    base_url: Url | None = setting(None, "Another address than Mistral's own.", example="https://ai-proxy.example.com")
    safe_prompt: Live[Switch] = setting(
        False, "Whether Mistral puts its own safety prompt before each request.", example=True
    )


class CompatibleProvider(Provider):
    """A server that speaks as OpenAI does: vLLM, Ollama, Azure and the like."""

    kind: Literal["openai-compatible"] = setting(
        ..., "A server that speaks as OpenAI does.", example="openai-compatible"
    )
    base_url: Url = setting(..., "The server's address.", example="http://localhost:11434/v1")
    api_key: Secret | None = setting(None, "The key, where the server asks for one.", example="${VLLM_API_KEY}")


class EchoProvider(Provider):
    """Answers with what it was asked, marked as such: for development without a key."""

    kind: Literal["echo"] = setting(..., "Answers with what it was asked.", example="echo")


AnyProvider = Annotated[
    OpenAiProvider | AnthropicProvider | MistralProvider | CompatibleProvider | EchoProvider,
    Field(discriminator="kind"),
]


class FallbackSpec(Section):
    """What makes a chain go on to its next model."""

    error: Switch = setting(True, "The provider's own errors.", example=False)
    timeout: Switch = setting(True, "No answer in time.", example=False)
    rate_limit: Switch = setting(True, "A limit of the provider.", example=False)
    context_window: Switch = setting(True, "A request too long for the model.", example=False)
    content_filter: Switch = setting(False, "A refusal by the provider's content filter.", example=True)


class ChainSpec(Section):
    """Models that are asked in order until one answers."""

    models: Annotated[Items[DeclaredModel], Field(min_length=1)] = setting(
        ..., "The models, each as `provider/model`.", example=["openai/gpt-5", "anthropic/claude-sonnet-4-5"]
    )
    attempts: Positive = setting(2, "Tries of each model, the first one counted.", example=1)
    deadline: Duration = setting("2m", "How long all tries together may take.", example="30s")
    fallback: FallbackSpec = section("What makes it go on to the next model.")


Chain = Annotated[ChainSpec, Shorthand("models")]


class CheckSpec(Section):
    """A check of texts for what is unsafe."""

    provider: ProviderName = setting(..., "The provider whose moderation checks them.", example="openai")
    model: Text | None = setting(
        None, "Its model; by default its model for moderation.", example="omni-moderation-latest"
    )
    prompt: Text | None = setting(
        None,
        "What is unsafe here: has the model judge by it, instead of the provider's moderation.",
        example="We are a bank: advice on how to launder money is unsafe.",
    )
    on_flag: Literal["reject", "report"] = setting(
        "reject", "Whether a flagged text is refused, or let through and reported.", example="report"
    )


class SafetySpec(Section):
    """Checks before and after a model is asked."""

    input: CheckSpec | None = setting(None, "Checks what is asked.", example={"provider": "openai"})
    output: CheckSpec | None = setting(
        None, "Checks what is answered.", example={"provider": "openai", "on_flag": "report"}
    )


class BudgetSpec(Section):
    """How much money may be spent in a length of time."""

    per: Duration = setting(
        ..., "The length of time, counted from 1970-01-01 UTC: `1d` begins at midnight.", example="30d"
    )
    limit: Live[Dollars] = setting(..., "The most that is spent in it.", example="5.00 USD")
    scope: Literal["user", "key", "spec"] = setting(
        "user", "Whether each user has it, each API key, or all callers together.", example="key"
    )


class PriceSpec(Section):
    """What a model costs, in US dollars for a million tokens."""

    input: Price = setting(..., "Tokens in.", example=1.25)
    output: Price = setting(..., "Tokens out, reasoning included.", example=10)
    cached_input: Price | None = setting(
        None, "Tokens in that the provider had cached; by default as `input`.", example=0.125
    )
    cache_write: Price | None = setting(
        None, "Tokens in that the provider writes into its cache; by default as `input`.", example=1.5
    )


class CallerLimits(Section):
    """How much one caller may ask."""

    user: AiLimits = section("How much one user may ask.")
    key: AiLimits = section("How much one API key may ask.")
    without_redis: Literal["fail_closed", "local_share"] = setting(
        "fail_closed",
        "While Redis is away: refuse, or let each instance give its share. Budgets always refuse.",
        example="local_share",
    )


class AiSpec(Section):
    """Models of several providers behind one interface."""

    providers: Named[AnyProvider] = section("Providers by name.")
    chains: Live[Named[Chain]] = setting(
        {},
        "Chains by name; a list of models, or a mapping with further switches.",
        example={"default": ["openai/gpt-5"]},
    )
    breaker: Live[Breaker] = section("When a failing provider is left alone for a while.")
    safety: Live[SafetySpec] = section("Checks before and after a model is asked.")
    limits: Live[CallerLimits] = section("How much one caller may ask.")
    budgets: Live[Named[BudgetSpec]] = section("Budgets by name; all that apply to a caller hold.")
    max_cost: Live[Dollars] = setting("0.50 USD", "The most that one answer may cost.", example="2.00 USD")
    prices: Live[Keyed[DeclaredModel, PriceSpec]] = setting(
        {},
        "Prices that override the packaged table, by `provider/model`.",
        example={"openai/gpt-5": {"input": 1.25, "output": 10}},
    )
    log_prompts: Switch = setting(False, "Whether logs and traces hold what is asked and answered.", example=True)
