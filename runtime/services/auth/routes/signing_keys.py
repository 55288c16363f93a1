"""The HTTP calls of signing keys."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import JSONBody

from runtime.http.access import ADMIN, OPEN, scope
from runtime.http.audit import audited
from runtime.http.ports import Port
from runtime.services.auth.ports import Signing, SigningKeyView
from runtime.services.auth.routes.shown import declared

JWKS_TYPE = "application/jwk-set+json"
JWKS_AGE = 300


class SigningKeyShown(msgspec.Struct):
    """A signing key, without its private half.

    Args:
        state: `published`, `active` or `retired`.
        signs_from: null for one from the spec.
    """

    kid: str
    state: str
    signs_from: datetime | None

    @classmethod
    def of(cls, key: SigningKeyView) -> "SigningKeyShown":
        return cls(key.kid, key.state, datetime.fromtimestamp(key.since, UTC) if key.since > 0 else None)


class SigningKeyList(msgspec.Struct):
    """All signing keys, the newest first."""

    items: list[SigningKeyShown]


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """How to rotate.

    Args:
        compromised: the new key signs at once, and all tokens of the others are refused from now on.
    """

    compromised: bool = False


class SigningKeyRoutes(Controller):
    """The keys that access tokens are signed with."""

    tags = ["signing keys"]

    @get("/.well-known/jwks.json", opt=OPEN, summary="The public halves of the signing keys", sync_to_thread=False)
    def jwks(self, signing: Port[Signing | None]) -> Response[dict[str, Any]]:
        headers = {"cache-control": f"public, max-age={JWKS_AGE}"}
        return Response(dict(declared(signing).jwks()), media_type=JWKS_TYPE, headers=headers)

    @get("/v1/signing-keys", opt=scope(ADMIN), summary="The signing keys and their states", sync_to_thread=False)
    def keys(self, signing: Port[Signing | None]) -> SigningKeyList:
        return SigningKeyList([SigningKeyShown.of(key) for key in declared(signing).views()])

    @post(
        "/v1/signing-keys/rotate",
        opt={**scope(ADMIN), **audited("signing_key.rotate", "signing-key:{kid}", "compromised")},
        summary="Make the next signing key",
    )
    async def rotate(self, data: JSONBody[Rotation], signing: Port[Signing | None]) -> SigningKeyShown:
        return SigningKeyShown.of(await declared(signing).rotate(compromised=data.compromised))
