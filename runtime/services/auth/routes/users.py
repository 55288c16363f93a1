"""The HTTP calls of profiles, and of accounts by hand."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, delete, get, post, put
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from runtime.http.access import ADMIN, Caller, address_of, scope
from runtime.http.audit import audited
from runtime.http.paging import After, Limit, Page, page, position_of
from runtime.http.ports import Port
from runtime.services.auth.ports import Profile, Profiles, Users
from runtime.services.auth.routes.shown import UserShown, declared, user_of

Email = Annotated[str, msgspec.Meta(min_length=3, max_length=320)]
Phone = Annotated[str, msgspec.Meta(min_length=3, max_length=40)]


class EmailShown(msgspec.Struct):
    """A further address of an account."""

    email: str
    verified_at: datetime | None


class PhoneShown(msgspec.Struct):
    """A phone of an account."""

    phone: str
    verified_at: datetime | None


class ProfileShown(msgspec.Struct):
    """What an account says of itself.

    Args:
        email: the address that it signs in with.
        emails: further ones; a code was sent to those that are not verified.
        phones: the same of phones.
        languages: the first one first, BCP 47.
    """

    id: str
    email: str
    name: str | None
    time_zone: str | None
    languages: list[str]
    emails: list[EmailShown]
    phones: list[PhoneShown]

    @classmethod
    async def of(cls, id_: str, profiles: Profiles) -> "ProfileShown":
        user, emails, phones = await profiles.whole(id_)
        return cls(
            user.id,
            user.email,
            user.name,
            user.time_zone,
            list(user.languages),
            [EmailShown(email, verified) for email, verified in emails.items()],
            [PhoneShown(phone, verified) for phone, verified in phones.items()],
        )


class ProfileRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A profile as it shall be; what is left out is removed."""

    name: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    time_zone: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    languages: Annotated[list[Annotated[str, msgspec.Meta(max_length=35)]], msgspec.Meta(max_length=10)] = []
    emails: Annotated[list[Email], msgspec.Meta(max_length=20)] = []
    phones: Annotated[list[Phone], msgspec.Meta(max_length=20)] = []


class PhoneProof(msgspec.Struct, forbid_unknown_fields=True):
    """A code that was sent to a phone."""

    phone: Phone
    code: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]


class UserRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An account to be made.

    Args:
        password: without one it is an invitation: a code is mailed by which they choose one.
        verified: whether the address is known to be theirs.
        scopes: what they may do, beside looking after themselves.
    """

    email: Email
    password: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    verified: bool = False
    scopes: Annotated[list[Annotated[str, msgspec.Meta(max_length=64)]], msgspec.Meta(max_length=50)] = []


class UserMade(msgspec.Struct):
    """An account's id."""

    id: str


class ProfileRoutes(Controller):
    """Profiles."""

    path = "/v1/profile"
    tags = ["accounts"]

    @get("/", opt=scope("account:read"), summary="The profile of the current account")
    async def show(self, profiles: Port[Profiles | None], caller: Port[Caller]) -> ProfileShown:
        return await ProfileShown.of(user_of(caller), declared(profiles))

    @put(
        "/",
        opt={**scope("account:write"), **audited("profile.change", "{caller.account}")},
        summary="Change it; each new address and phone gets a code",
    )
    async def change(
        self,
        data: JSONBody[ProfileRequest],
        request: Request[Any, Any, Any],
        profiles: Port[Profiles | None],
        caller: Port[Caller],
    ) -> ProfileShown:
        known, id_ = declared(profiles), user_of(caller)
        wanted = Profile(data.name, data.time_zone, data.languages, data.emails, data.phones)
        await known.change(id_, address_of(request.scope), wanted)
        return await ProfileShown.of(id_, known)

    @post(
        "/phones/verify",
        opt={**scope("account:write"), **audited("phone.verify", "{caller.account}")},
        status_code=HTTP_200_OK,
        summary="Prove a phone with its code",
    )
    async def verify_phone(
        self,
        data: JSONBody[PhoneProof],
        request: Request[Any, Any, Any],
        profiles: Port[Profiles | None],
        caller: Port[Caller],
    ) -> ProfileShown:
        known, id_ = declared(profiles), user_of(caller)
        await known.verify_phone(id_, address_of(request.scope), data.phone, data.code)
        return await ProfileShown.of(id_, known)


class UserRoutes(Controller):
    """Accounts by hand."""

    path = "/v1/users"
    tags = ["accounts"]

    @get("/", opt=scope(ADMIN), summary="All accounts, the newest first")
    async def listed(self, users: Port[Users | None], limit: Limit = 50, after: After = None) -> Page[UserShown]:
        found = await declared(users).page(before=position_of("users", after, str), most=limit + 1)
        return page("users", [UserShown.of(user) for user in found], limit, lambda user: user.id)

    @post(
        "/",
        opt={**scope(ADMIN), "secret_answer": True, **audited("user.create", "user:{id}", "scopes", "verified")},
        summary="Make an account, or invite somebody",
    )
    async def add(self, data: JSONBody[UserRequest], users: Port[Users | None]) -> UserMade:
        made = await declared(users).add(data.email, data.password, verified=data.verified, scopes=data.scopes)
        return UserMade(made.id)

    @post(
        "/{user_id:str}/invite",
        opt={**scope(ADMIN), **audited("user.invite", "user:{user_id}")},
        status_code=HTTP_202_ACCEPTED,
        summary="Send an invitation again",
    )
    async def invite(self, user_id: FromPath[str], users: Port[Users | None]) -> UserMade:
        await declared(users).invite(user_id)
        return UserMade(user_id)

    @get("/{user_id:str}", opt=scope(ADMIN), summary="One account")
    async def show(self, user_id: FromPath[str], profiles: Port[Profiles | None]) -> UserShown:
        return UserShown.of(await declared(profiles).user(user_id))

    @delete(
        "/{user_id:str}",
        opt={**scope(ADMIN), **audited("user.delete", "user:{user_id}")},
        summary="Remove an account with its sessions and keys",
    )
    async def remove(self, user_id: FromPath[str], users: Port[Users | None]) -> None:
        await declared(users).remove(user_id)
