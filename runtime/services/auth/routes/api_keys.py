"""The HTTP calls of API keys."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Controller, delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from runtime.errors import Forbidden, Invalid, NotFound, Pointer
from runtime.http.access import ADMIN, Caller, scope
from runtime.http.paging import After, Limit, Page, cursor, position
from runtime.http.ports import Port
from runtime.services.auth.ports import ApiKey, ApiKeys

READ = "keys:read"
WRITE = "keys:write"


class KeyRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A key to be made.

    Args:
        name: what you call it.
        scopes: what it may do; none that you have not.
        owner: whose credits and data it uses; yours, unless you have `runtime:admin`.
        expires_at: when it ends; never, where it is not given.
        rate: its own limit, `100/m`.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    scopes: Annotated[list[Annotated[str, msgspec.Meta(max_length=64)]], msgspec.Meta(min_length=1, max_length=50)]
    owner: Annotated[str, msgspec.Meta(min_length=1, max_length=180)] | None = None
    expires_at: datetime | None = None
    rate: Annotated[str, msgspec.Meta(max_length=40)] | None = None


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

    @post("/", opt={**scope(WRITE), "secret_answer": True}, summary="Make an API key")
    async def create(self, data: JSONBody[KeyRequest], api_keys: Port[ApiKeys | None], caller: Port[Caller]) -> KeyMade:
        made, text = await _declared(api_keys).create(
            caller, data.name, data.scopes, owner=data.owner, expires_at=data.expires_at, rate=data.rate
        )
        return KeyMade(made.id, text, made.name, made.owner, list(made.scopes), made.expires_at)

    @get("/", opt=scope(READ), summary="API keys, the newest first")
    async def page(
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
        found = await _declared(api_keys).page(
            owner=None if wanted == "*" else wanted,
            starts_with=starts_with,
            before=_position(after) if after else None,
            most=limit + 1,
        )
        shown = [KeyShown.of(key) for key in found[:limit]]
        return Page(shown, cursor("api-keys", shown[-1].id) if len(found) > limit else None)

    @delete("/{key_id:str}", opt=scope(WRITE), summary="Revoke an API key")
    async def revoke(self, key_id: FromPath[str], api_keys: Port[ApiKeys | None], caller: Port[Caller]) -> None:
        await _declared(api_keys).revoke(caller, key_id)


def _declared(api_keys: ApiKeys | None) -> ApiKeys:
    if api_keys is None:
        raise NotFound("the spec declares no accounts", remedy="Add `auth: {}` to it.")
    return api_keys


def _position(after: str) -> str:
    known = position("api-keys", after)
    if isinstance(known, str):
        return known
    raise Invalid(
        "`after` is not a cursor of this list",
        errors=[Pointer("?after", "pass the `next` of an earlier answer as it is")],
        remedy="Begin again without `after`.",
    )
