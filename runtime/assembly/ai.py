"""The gateway to models, its providers and its books."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.assembly.site import Made, Site
from runtime.services.ai.accounts import Accounts
from runtime.services.ai.adapters.redis import RedisConditions
from runtime.services.ai.books import Books
from runtime.services.ai.client import ProviderClient
from runtime.services.ai.figures import Figures
from runtime.services.ai.models import ProviderModels
from runtime.services.ai.safety import Safety
from runtime.services.ai.service import AiService
from runtime.services.ai.settings import Settings
from runtime.services.ai.spec import AiSpec
from runtime.spec.fields import live_fields

if TYPE_CHECKING:
    from runtime.kernel.component import Ports, Service


def component(site: Site, name: str) -> Made:
    """A provider, the books, or the gateway itself."""
    if name.startswith("providers."):
        return _provider(site, name.removeprefix("providers."))
    return _books(site) if name == "books" else _gateway(site)


def _gateway(site: Site) -> Made:
    section = site.data["ai"]
    names = sorted(section["providers"])

    def make(ports: Ports) -> Service:
        settings = Settings(section)
        clients = {name: ports[f"ai.providers.{name}"] for name in names}
        books = ports["ai.books"]
        safety = Safety(lambda: settings.spec.safety, ProviderModels(clients), books.prices)
        return AiService(
            settings,
            clients,
            RedisConditions(ports["storage.redis"].client, f"{site.prefix}ai:"),
            Accounts(books, safety),
            Figures({name: section["providers"][name]["kind"] for name in names}),
            keys=ports.get("secrets.provider-keys"),
            metrics=site.metrics,
            tracing=site.tracing,
        )

    return Made("AI gateway", make, section, live_fields(AiSpec) | {"providers"})


def _provider(site: Site, name: str) -> Made:
    assert site.spec.ai is not None  # noqa: S101 - the outline has seen it
    spec, fields = site.spec.ai.providers[name], site.data["ai"]["providers"][name]
    live = live_fields(type(spec))
    if site.live_secrets("ai", "providers", name):
        live |= {"api_key"}
    return Made(f"Models of {spec.kind}", lambda _: ProviderClient(name, fields), fields, live)


def _books(site: Site) -> Made:
    section = site.data["ai"]

    def make(ports: Ports) -> Service:
        return Books(
            section,
            ports["storage.database"],
            ports["outbox"],
            ports.get("billing"),
            ports["storage.redis"].client,
            prefix=f"{site.prefix}ai:limit:",
            folder=site.state.path / "ai",
        )

    fields = {name: section[name] for name in ("providers", "limits", "budgets", "max_cost", "prices")}
    return Made("Books of AI", make, fields, frozenset(fields))
