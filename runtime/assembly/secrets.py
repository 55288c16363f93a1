"""What the references of the spec lead to, the session at Vault, and the keys that users bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.assembly.site import Made, Site
from runtime.services.secrets.service import SecretService
from runtime.services.secrets.spec import TransitKey
from runtime.services.secrets.store import VaultStore

if TYPE_CHECKING:
    from runtime.kernel.component import Ports, Service
    from runtime.spec.load import Loaded


def component(site: Site, name: str) -> Made:
    """The secrets of the spec, or the provider keys of users."""
    return _provider_keys(site) if name == "provider-keys" else _secrets(site)


def vault_store(loaded: Loaded) -> VaultStore | None:
    """What is known of Vault; None where the spec has asked nothing of it."""
    store = loaded.vault
    return store if isinstance(store, VaultStore) and store.spec is not None else None


def _secrets(site: Site) -> Made:
    loaded, store = site.loaded, _vault(site)
    return Made(
        "Secrets (Vault, files, environment)" if site.spec.secrets.vault else "Secrets (files, environment)",
        lambda _: SecretService(loaded.uses, loaded.files, store, site.rotate, learn=site.logs.redactor.learn),
        {"vault": store is not None},
    )


def _provider_keys(site: Site) -> Made:
    from runtime.services.secrets.adapters.sql import ProviderKeyTable
    from runtime.services.secrets.keyring import KeyRing
    from runtime.services.secrets.provider_keys import ProviderKeyStore
    from runtime.services.secrets.sealing import Sealer
    from runtime.telemetry.redaction import mask_here

    encryption = site.spec.secrets.encryption
    assert encryption is not None  # noqa: S101 - the outline has seen it
    ring = KeyRing(encryption, _vault(site))
    providers = sorted(site.spec.ai.providers) if site.spec.ai else []

    def make(ports: Ports) -> Service:
        table = ProviderKeyTable(ports["storage.database"])
        return ProviderKeyStore(table, Sealer(ring), providers, mask_here)

    fields = {"encryption": site.data["secrets"]["encryption"], "providers": providers}
    return Made("Users' own provider keys", make, fields, frozenset({"encryption"}))


def _vault(site: Site) -> VaultStore | None:
    """Our session at Vault, where a reference or an encryption key wants it."""
    section, store = site.spec.secrets, site.loaded.vault
    keys = section.encryption.keys.values() if section.encryption else ()
    if section.vault and isinstance(store, VaultStore) and any(isinstance(key, TransitKey) for key in keys):
        store.use(section.vault)
    return vault_store(site.loaded)
