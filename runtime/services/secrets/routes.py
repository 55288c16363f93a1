"""The HTTP calls of secrets: where they come from and how old they are; never a value."""

from typing import Any

import msgspec
from litestar import Controller, Request, delete, get, post, put
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from runtime.errors import NotFound
from runtime.http.access import ADMIN, caller_of, scope
from runtime.http.audit import audited
from runtime.http.paging import Page
from runtime.http.ports import Port
from runtime.services.secrets.ports import (
    EncryptionKeyView,
    ProviderKeys,
    ProviderKeyView,
    Reencryption,
    Secrets,
    SecretView,
)
from runtime.telemetry.audit import concern

_REFRESH = "/refresh"


class SecretRoutes(Controller):
    """The sources of secrets."""

    path = "/v1/secrets"
    tags = ["secrets"]
    opt = scope(ADMIN)

    @get("/", summary="Every source of secrets: version, age, lease; never a value", sync_to_thread=False)
    def secrets(self, secrets: Port[Secrets]) -> Page[SecretView]:
        return Page(list(secrets.views()))

    @post(
        "/{path:path}",
        opt=audited("secret.refresh"),
        status_code=HTTP_200_OK,
        summary="Look at a source now: `POST /v1/secrets/{path}/refresh`",
    )
    async def refresh(self, path: FromPath[str], secrets: Port[Secrets]) -> SecretView:
        name = path.removeprefix("/")
        if not name.endswith(_REFRESH):
            raise NotFound("There is nothing at this address.", remedy="POST /v1/secrets/{path}/refresh")
        name = name.removesuffix(_REFRESH)
        concern(f"secret:{name}")
        known = {view.name for view in secrets.views()}
        return await secrets.refresh(f"/{name}" if name not in known and f"/{name}" in known else name)


class ProviderKey(msgspec.Struct, forbid_unknown_fields=True):
    """A user's own key of a provider.

    Args:
        key: as the provider gave it.
    """

    key: str


class ReencryptionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What is wanted.

    Args:
        rotate: whether the active key, if it is inside Vault, gets a new version first.
    """

    rotate: bool = False


class ProviderKeyRoutes(Controller):
    """The caller's own keys of AI providers."""

    path = "/v1/provider-keys"
    tags = ["provider keys"]
    opt = scope("ai:use")

    @put(
        "/{provider:str}",
        opt=audited("provider_key.store", "provider-key:{provider}"),
        summary="Store your own key of a provider, encrypted",
    )
    async def store(
        self,
        provider: FromPath[str],
        data: JSONBody[ProviderKey],
        request: Request[Any, Any, Any],
        provider_keys: Port[ProviderKeys | None],
    ) -> ProviderKeyView:
        return await _declared(provider_keys).store(caller_of(request.scope).account, provider, data.key)

    @get("/{provider:str}", summary="What is known of your key; never the key")
    async def view(
        self, provider: FromPath[str], request: Request[Any, Any, Any], provider_keys: Port[ProviderKeys | None]
    ) -> ProviderKeyView:
        return await _declared(provider_keys).view(caller_of(request.scope).account, provider)

    @delete(
        "/{provider:str}",
        opt=audited("provider_key.delete", "provider-key:{provider}"),
        summary="Forget your key of a provider",
    )
    async def delete(
        self, provider: FromPath[str], request: Request[Any, Any, Any], provider_keys: Port[ProviderKeys | None]
    ) -> None:
        await _declared(provider_keys).delete(caller_of(request.scope).account, provider)


class EncryptionKeyRoutes(Controller):
    """The keys that users' keys are encrypted with."""

    path = "/v1/encryption-keys"
    tags = ["provider keys"]
    opt = scope(ADMIN)

    @get("/", summary="The encryption keys, with how much is under each of them")
    async def keys(self, provider_keys: Port[ProviderKeys | None]) -> Page[EncryptionKeyView]:
        return Page(list(await _declared(provider_keys).keys()))

    @get("/reencryption", summary="How far the re-encryption under the active key is")
    async def progress(self, provider_keys: Port[ProviderKeys | None]) -> Reencryption:
        return await _declared(provider_keys).progress()

    @post(
        "/reencryption",
        opt=audited("encryption_key.reencrypt", "encryption-keys", "rotate"),
        status_code=HTTP_202_ACCEPTED,
        summary="Bring all stored keys under the active key",
    )
    async def reencrypt(
        self, data: JSONBody[ReencryptionRequest], provider_keys: Port[ProviderKeys | None]
    ) -> Reencryption:
        return await _declared(provider_keys).reencrypt(rotate=data.rotate)


def _declared(provider_keys: ProviderKeys | None) -> ProviderKeys:
    if provider_keys is None:
        raise NotFound("this environment keeps no provider keys", remedy="Declare secrets.encryption in its spec.")
    return provider_keys
