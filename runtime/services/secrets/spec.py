"""The `secrets` section: where secrets come from, and how users' own keys are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from runtime.spec.fields import Live, Named, Ref, Section, section, setting
from runtime.spec.kinds import Duration, PathField, Positive, Secret, Switch, Text, Url


class TokenAuth(Section):
    """A Vault token."""

    method: Literal["token"] = setting(..., "A Vault token.", example="token")
    token: Secret = setting(..., "The token.", example="${VAULT_TOKEN}")


class AppRoleAuth(Section):
    """A role and its secret."""

    method: Literal["approle"] = setting(..., "A role and its secret.", example="approle")
    role_id: Secret = setting(..., "The role's id.", example="${VAULT_ROLE_ID}")
    secret_id: Secret = setting(..., "The role's secret.", example="${file:/run/secrets/vault_secret_id}")
    wrapped: Switch = setting(False, "Whether `secret_id` is a wrapping token that holds the secret.", example=True)
    mount: Text = setting("approle", "Where the method is mounted.", example="approle-ci")


class KubernetesAuth(Section):
    """The service account of the pod."""

    method: Literal["kubernetes"] = setting(..., "The service account of the pod.", example="kubernetes")
    role: Text = setting(..., "The role at Vault.", example="core-services")
    token_file: PathField = setting(
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
        "The service account's token.",
        example="/run/secrets/token",
    )
    mount: Text = setting("kubernetes", "Where the method is mounted.", example="kubernetes-eu")


class JwtAuth(Section):
    """A signed token of an identity provider."""

    method: Literal["jwt"] = setting(..., "A signed token of an identity provider.", example="jwt")
    role: Text = setting(..., "The role at Vault.", example="core-services")
    token: Secret = setting(..., "The signed token.", example="${file:/run/secrets/identity_token}")
    mount: Text = setting("jwt", "Where the method is mounted.", example="gitlab")


AnyVaultAuth = Annotated[TokenAuth | AppRoleAuth | KubernetesAuth | JwtAuth, Field(discriminator="method")]


class VaultPathSpec(Section):
    """A secret in Vault, under a name of our own: `${vault:postgres#password}`."""

    path: Text = setting(..., "Where it is in Vault.", example="secret/data/core/postgres")
    engine: Literal["kv2", "kv1", "database"] = setting(
        "kv2", "The kind of secret engine that serves it.", example="database"
    )
    version: Positive | None = setting(None, "A version to stay at; by default the newest.", example=3)
    refresh: Live[Duration] = setting("5m", "How often Vault is asked for a change.", example="30s")
    on_rotate: Literal["reconnect", "restart", "ignore"] = setting(
        "reconnect", "What those who use it do when it changes.", example="restart"
    )


class VaultSpec(Section):
    """A HashiCorp Vault or OpenBao server."""

    address: Url = setting(..., "Its address.", example="https://vault.internal:8200")
    auth: AnyVaultAuth = setting(
        ..., "How the runtime signs in.", example={"method": "token", "token": "${VAULT_TOKEN}"}
    )
    namespace: Text | None = setting(None, "The namespace that all paths are in.", example="platform")
    ca: PathField | None = setting(
        None, "The certificate authority that signed its certificate, as PEM.", example="certs/vault-ca.pem"
    )
    timeout: Duration = setting("5s", "How long it may take to answer.", example="2s")
    renew: Switch = setting(True, "Whether tokens and leases are renewed before they expire.", example=False)
    max_stale: Live[Duration] = setting(
        "1h", "How long known values are served while Vault is out of reach or sealed.", example="24h"
    )
    paths: Named[VaultPathSpec] = section("Secrets by name.")


class TransitKey(Section):
    """A key that never leaves Vault."""

    transit: Text = setting(..., "The key's name in Vault's transit engine.", example="provider-keys")
    mount: Text = setting("transit", "Where the engine is mounted.", example="transit")


class EncryptionSpec(Section):
    """How users' own provider keys are encrypted at rest."""

    keys: Named[Secret | TransitKey] = setting(
        ...,
        "Keys by name; retired ones stay until nothing is encrypted with them.",
        example={"k1": "${API_KEY_ENCRYPTION_KEY}"},
    )
    active: Annotated[Text, Ref("secrets.encryption.keys")] = setting(
        ..., "The key for what is encrypted from now on.", example="k1"
    )
    legacy: Annotated[Text, Ref("secrets.encryption.keys")] | None = setting(
        None,
        "The key for values of an earlier system, base64 of IV and AES-256-CBC ciphertext; they are encrypted anew.",
        example="k0",
    )
    cipher: Literal["aes-256-gcm", "aes-256-cbc-hmac"] = setting(
        "aes-256-gcm",
        "The cipher; `aes-256-cbc-hmac` where a policy demands CBC.",
        example="aes-256-cbc-hmac",
    )


class SecretsSpec(Section):
    """Where secrets come from."""

    env_file: PathField = setting(
        ".env", "A file of `NAME=value` lines, read where it exists.", example="development.env"
    )
    vault: VaultSpec | None = setting(
        None,
        "A Vault server.",
        example={
            "address": "https://vault.internal:8200",
            "auth": {"method": "token", "token": "${VAULT_TOKEN}"},
        },
    )
    encryption: EncryptionSpec | None = setting(
        None,
        "How users' own provider keys are encrypted at rest.",
        example={"keys": {"k1": "${API_KEY_ENCRYPTION_KEY}"}, "active": "k1"},
    )
