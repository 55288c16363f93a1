"""The HTTP calls of accounts: signing up, codes, passwords."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from runtime.http.access import OPEN, PUBLIC, Caller, address_of, scope
from runtime.http.audit import audited
from runtime.http.ports import Port
from runtime.services.auth.ports import Accounts, Admission
from runtime.services.auth.routes.shown import declared

Email = Annotated[str, msgspec.Meta(min_length=3, max_length=320)]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
_QUIET = {"secret_answer": True}
_OPEN = {**OPEN, **_QUIET}


class SignUp(msgspec.Struct, forbid_unknown_fields=True):
    """Who wants an account."""

    email: Email
    password: Password


class Proof(msgspec.Struct, forbid_unknown_fields=True):
    """A code that was sent to an address."""

    email: Email
    code: Code


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """Whose password is forgotten."""

    email: Email


class Reset(msgspec.Struct, forbid_unknown_fields=True):
    """A new password, with the code that was sent."""

    email: Email
    code: Code
    password: Password


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """A new password, with the present one."""

    present: Password
    password: Password


class Sent(msgspec.Struct):
    """The same for every address, whether or not it has an account."""

    status: str = "if the address may have a code, it is on its way"


class Offered(msgspec.Struct):
    """Who may sign up.

    Args:
        signup: `open` for everybody, `invite` for whoever was invited; `closed`, also where no code could be mailed.
    """

    signup: Admission


class Done(msgspec.Struct):
    status: str = "done"


class AccountRoutes(Controller):
    """Accounts."""

    path = "/v1/auth"
    tags = ["accounts"]

    @get("/signup", opt=PUBLIC, summary="Who may ask for an account", sync_to_thread=False)
    def offered(self, accounts: Port[Accounts | None]) -> Offered:
        return Offered(declared(accounts).offered)

    @post(
        "/signup",
        opt={**_OPEN, **audited("account.sign_up")},
        status_code=HTTP_202_ACCEPTED,
        summary="Ask for an account",
    )
    async def sign_up(
        self, data: JSONBody[SignUp], request: Request[Any, Any, Any], accounts: Port[Accounts | None]
    ) -> Sent:
        await declared(accounts).sign_up(address_of(request.scope), data.email, data.password)
        return Sent()

    @post(
        "/verify",
        opt={**_OPEN, **audited("account.verify")},
        status_code=HTTP_200_OK,
        summary="Prove an address with its code",
    )
    async def verify(
        self, data: JSONBody[Proof], request: Request[Any, Any, Any], accounts: Port[Accounts | None]
    ) -> Done:
        await declared(accounts).verify(address_of(request.scope), data.email, data.code)
        return Done()

    @post(
        "/password/reset",
        opt={**_OPEN, **audited("password.ask")},
        status_code=HTTP_202_ACCEPTED,
        summary="Ask for a new password",
    )
    async def ask_reset(
        self, data: JSONBody[Asked], request: Request[Any, Any, Any], accounts: Port[Accounts | None]
    ) -> Sent:
        await declared(accounts).ask_reset(address_of(request.scope), data.email)
        return Sent()

    @post(
        "/password/verify",
        opt={**_OPEN, **audited("password.reset")},
        status_code=HTTP_200_OK,
        summary="Set it with the code",
    )
    async def reset(
        self, data: JSONBody[Reset], request: Request[Any, Any, Any], accounts: Port[Accounts | None]
    ) -> Done:
        await declared(accounts).reset(address_of(request.scope), data.email, data.code, data.password)
        return Done()

    @post(
        "/password",
        opt={**scope("account:write"), **_QUIET, **audited("password.change", "{caller.account}")},
        status_code=HTTP_200_OK,
        summary="Change the password",
    )
    async def change(
        self,
        data: JSONBody[Change],
        request: Request[Any, Any, Any],
        accounts: Port[Accounts | None],
        caller: Port[Caller],
    ) -> Done:
        address = address_of(request.scope)
        await declared(accounts).change_password(caller, address, data.present, data.password)
        return Done()
