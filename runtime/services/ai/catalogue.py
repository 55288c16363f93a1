"""Every name that a request's `model` may have, as far as the spec tells: chains, and the models that it mentions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.services.ai.spec import AiSpec


def models(spec: AiSpec) -> list[dict[str, Any]]:
    """Entries as OpenAI's `/v1/models` has them: chains first, then models by name.

    Any other model of a declared provider may be asked as well, as `provider/model`.
    """
    named = {name for chain in spec.chains.values() for name in chain.models} | set(spec.prices)
    named |= {f"{provider}/{model}" for provider, section in spec.providers.items() for model in section.models}
    chains = [_entry(name, "chain") for name in spec.chains]
    return chains + [_entry(name, name.partition("/")[0]) for name in sorted(named)]


def _entry(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}
