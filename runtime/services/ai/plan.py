"""Who may answer a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from runtime.errors import Invalid, NotFound
from runtime.services.ai.moderations import MODERATIONS
from runtime.services.ai.spec import ChainSpec
from runtime.services.names import unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runtime.services.ai.client import ProviderClient
    from runtime.services.ai.spec import AiSpec


class Plan(msgspec.Struct, frozen=True):
    """Who may answer a request: the models of a chain, or the one that it names."""

    chain: str | None
    spec: ChainSpec
    models: Sequence[tuple[str, str]]


class Plans:
    """Finds who may answer.

    Args:
        spec: gives the `ai` section.
        clients: the providers by name.
    """

    def __init__(self, spec: Callable[[], AiSpec], clients: Mapping[str, ProviderClient]) -> None:
        self._spec = spec
        self._clients = clients

    def chat(self, model: str) -> Plan:
        """Who may answer a request for a model.

        Args:
            model: the name of a chain, or `provider/model`.

        Raises:
            NotFound: there is no such chain or provider.
        """
        spec = self._spec()
        if (chain := spec.chains.get(model)) is not None:
            return Plan(model, chain, [_split(name) for name in chain.models])
        provider, slash, name = model.partition("/")
        if slash and name and provider in self._clients:
            return Plan(None, _ALONE, [(provider, name)])
        if slash:
            raise unknown("provider", provider, self._clients)
        missing = unknown("chain", model, spec.chains)
        raise NotFound(missing.message, remedy=f"{missing.remedy} A model is named as `provider/model`.".strip())

    def moderation(self, model: str | None) -> Plan:
        """Who moderates: the named model, or the usual one of the first provider that does."""
        if model is not None and "/" in model:
            return self.chat(model)
        clients = self._clients
        able = [name for name, client in clients.items() if client.spec.kind in ("openai", "mistral")]
        wanted = self._spec().safety.input
        if wanted is not None and wanted.prompt is None and wanted.provider in able:
            able.insert(0, wanted.provider)
        if not able:
            raise Invalid(
                "no provider of the spec moderates",
                remedy="Declare one of the kind openai or mistral, or name a model as `provider/model`.",
            )
        return Plan(None, _ALONE, [(able[0], model or MODERATIONS[clients[able[0]].spec.kind])])


def _split(name: str) -> tuple[str, str]:
    provider, _, model = name.partition("/")
    return provider, model


_ALONE: Final = ChainSpec.model_validate({"models": ["none/none"]})
"""How a single model is asked: with the figures that a chain has by default."""
