"""The HTTP calls of API keys."""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated

import msgspec
from litestar import Controller, delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from runtime.errors import Forbidden, Invalid, Pointer
from runtime.http.access import ADMIN, Caller, scope
from runtime.http.audit import audited
from runtime.http.paging import After, Limit, Page, page, position_of
from runtime.http.ports import Port
from runtime.services.auth.ports import ApiKey, ApiKeys
from runtime.services.auth.routes.shown import declared

READ = "keys:read"
WRITE = "keys:write"
_MADE = audited("api_key.create", "key:{id}", "scopes", "owner", "expires_at", "rate", "credits")


class KeyRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A key to be made.

    Args:
        name: what you call it.
        scopes: what it may do; none that you have not.
        owner: whose credits and data it uses; yours, unless you have `runtime:admin`.
        expires_at: when it ends; never, where it is not given.
        rate: its own limit, `100/m`.
        credits: the most that it may spend of its owner's, "12.50"; all there are, where it is not given.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    scopes: Annotated[list[Annotated[str, msgspec.Meta(max_length=64)]], msgspec.Meta(min_length=1, max_length=50)]
    owner: Annotated[str, msgspec.Meta(min_length=1, max_length=180)] | None = None
    expires_at: datetime | None = None
    rate: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    credits: Annotated[str, msgspec.Meta(max_length=40)] | None = None


class KeyShown(msgspec.Struct):
    """A key, without its secret.

    Args:
        begins: its first characters, by which a leaked one is recognised.
    """

    id: str
    begins: str
    name: str
    owner: str
    scopes: list[str]
    rate: str | None
    credits: str | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> "KeyShown":
        return cls(
            key.id,
            key.prefix + key.id,
            key.name,
            key.owner,
            list(key.scopes),
            key.rate,
            f"{key.credits.normalize():f}" if key.credits is not None else None,
            key.created_at,
            key.created_by,
            key.expires_at,
            key.used_at,
            key.revoked_at,
        )


class KeyMade(msgspec.Struct):
    """A new key.

    Args:
        key: the key itself: it is shown this once.
    """

    id: str
    key: str
    name: str
    owner: str
    scopes: list[str]
    expires_at: datetime | None


class ApiKeyRoutes(Controller):
    """API keys."""

    path = "/v1/api-keys"
    tags = ["API keys"]

    @post("/", opt={**scope(WRITE), "secret_answer": True, **_MADE}, summary="Make an API key")
    async def create(self, data: JSONBody[KeyRequest], api_keys: Port[ApiKeys | None], caller: Port[Caller]) -> KeyMade:
        made, text = await declared(api_keys).create(
            caller,
            data.name,
            data.scopes,
            owner=data.owner,
            expires_at=data.expires_at,
            rate=data.rate,
            credits=_amount(data.credits),
        )
        return KeyMade(made.id, text, made.name, made.owner, list(made.scopes), made.expires_at)

    @get("/", opt=scope(READ), summary="API keys, the newest first")
    async def listed(
        self,
        api_keys: Port[ApiKeys | None],
        caller: Port[Caller],
        owner: Annotated[
            str | None, QueryParameter(max_length=200, description="Another's, or `*` for all, needs `runtime:admin`.")
        ] = None,
        starts_with: Annotated[
            str, QueryParameter(max_length=100, description="The first characters of a key that was found.")
        ] = "",
        limit: Limit = 50,
        after: After = None,
    ) -> Page[KeyShown]:
        wanted = owner or caller.account
        if wanted != caller.account and not caller.may(ADMIN):
            raise Forbidden("this needs the scope runtime:admin: they are another's keys")
        found = await declared(api_keys).page(
            owner=None if wanted == "*" else wanted,
            starts_with=starts_with,
            before=position_of("api-keys", after, str),
            most=limit + 1,
        )
        return page("api-keys", [KeyShown.of(key) for key in found], limit, lambda key: key.id)

    @delete(
        "/{key_id:str}", opt={**scope(WRITE), **audited("api_key.revoke", "key:{key_id}")}, summary="Revoke an API key"
    )
    async def revoke(self, key_id: FromPath[str], api_keys: Port[ApiKeys | None], caller: Port[Caller]) -> None:
        await declared(api_keys).revoke(caller, key_id)


def _amount(text: str | None) -> Decimal | None:
    try:
        return Decimal(text) if text is not None else None
    except InvalidOperation as error:
        raise Invalid("this is no amount", errors=[Pointer("/credits", 'an exact decimal, "12.50"')]) from error
