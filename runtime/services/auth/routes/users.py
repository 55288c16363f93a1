"""The HTTP calls of profiles, and of accounts by hand."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, delete, get, post, put
from litestar.params import FromPath, JSONBody

from runtime.errors import Invalid, Pointer
from runtime.http.access import ADMIN, Caller, address_of, scope
from runtime.http.paging import After, Limit, Page, cursor, position
from runtime.http.ports import Port
from runtime.services.auth.ports import Accounts, User
from runtime.services.auth.routes.shown import UserShown, declared, user_of

Email = Annotated[str, msgspec.Meta(min_length=3, max_length=320)]


class EmailShown(msgspec.Struct):
    """A further address of an account."""

    email: str
    verified_at: datetime | None


class ProfileShown(msgspec.Struct):
    """What an account says of itself.

    Args:
        email: the address that it signs in with.
        emails: further ones; a code was sent to those that are not verified.
        languages: the first one first, BCP 47.
    """

    id: str
    email: str
    name: str | None
    time_zone: str | None
    languages: list[str]
    emails: list[EmailShown]

    @classmethod
    async def of(cls, user: User, accounts: Accounts) -> "ProfileShown":
        further = await accounts.further_emails(user.id)
        emails = [EmailShown(email, verified) for email, verified in further.items()]
        return cls(user.id, user.email, user.name, user.time_zone, list(user.languages), emails)


class Profile(msgspec.Struct, forbid_unknown_fields=True):
    """A profile as it shall be; what is left out is removed."""

    name: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    time_zone: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    languages: Annotated[list[Annotated[str, msgspec.Meta(max_length=35)]], msgspec.Meta(max_length=10)] = []
    emails: Annotated[list[Email], msgspec.Meta(max_length=20)] = []


class UserRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An account to be made.

    Args:
        password: without one it is an invitation: the address may sign up, or ask for a new password.
        verified: whether the address is known to be theirs.
        scopes: what they may do, beside looking after themselves.
    """

    email: Email
    password: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    verified: bool = False
    scopes: Annotated[list[Annotated[str, msgspec.Meta(max_length=64)]], msgspec.Meta(max_length=50)] = []


class UserMade(msgspec.Struct):
    """The new account's id."""

    id: str


class ProfileRoutes(Controller):
    """Profiles."""

    path = "/v1/profile"
    tags = ["accounts"]

    @get("/", opt=scope("account:read"), summary="The profile of the current account")
    async def show(self, accounts: Port[Accounts | None], caller: Port[Caller]) -> ProfileShown:
        known = declared(accounts)
        return await ProfileShown.of(await known.user(user_of(caller)), known)

    @put("/", opt=scope("account:write"), summary="Change it; each new address gets a code")
    async def change(
        self,
        data: JSONBody[Profile],
        request: Request[Any, Any, Any],
        accounts: Port[Accounts | None],
        caller: Port[Caller],
    ) -> ProfileShown:
        known = declared(accounts)
        user = await known.change_profile(
            user_of(caller),
            address_of(request.scope),
            name=data.name,
            time_zone=data.time_zone,
            languages=data.languages,
            emails=data.emails,
        )
        return await ProfileShown.of(user, known)


class UserRoutes(Controller):
    """Accounts by hand."""

    path = "/v1/users"
    tags = ["accounts"]

    @get("/", opt=scope(ADMIN), summary="All accounts, the newest first")
    async def page(self, accounts: Port[Accounts | None], limit: Limit = 50, after: After = None) -> Page[UserShown]:
        found = await declared(accounts).users(before=_position(after) if after else None, most=limit + 1)
        shown = [UserShown.of(user) for user in found[:limit]]
        return Page(shown, cursor("users", shown[-1].id) if len(found) > limit else None)

    @post("/", opt={**scope(ADMIN), "secret_answer": True}, summary="Make an account, or invite somebody")
    async def add(self, data: JSONBody[UserRequest], accounts: Port[Accounts | None]) -> UserMade:
        made = await declared(accounts).add(data.email, data.password, verified=data.verified, scopes=data.scopes)
        return UserMade(made.id)

    @get("/{user_id:str}", opt=scope(ADMIN), summary="One account")
    async def show(self, user_id: FromPath[str], accounts: Port[Accounts | None]) -> UserShown:
        return UserShown.of(await declared(accounts).user(user_id))

    @delete("/{user_id:str}", opt=scope(ADMIN), summary="Remove an account with its sessions and keys")
    async def remove(self, user_id: FromPath[str], accounts: Port[Accounts | None]) -> None:
        await declared(accounts).remove(user_id)


def _position(after: str) -> str:
    known = position("users", after)
    if isinstance(known, str):
        return known
    raise Invalid(
        "`after` is not a cursor of this list",
        errors=[Pointer("?after", "pass the `next` of an earlier answer as it is")],
        remedy="Begin again without `after`.",
    )
