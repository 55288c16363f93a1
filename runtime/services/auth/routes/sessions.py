"""The HTTP calls of sessions: signing in and out, switching, refreshing, devices."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, Response, delete, get, post
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from runtime.http.access import OPEN, Caller, scope
from runtime.http.audit import audited
from runtime.http.ports import Port
from runtime.services.auth.browsers import Browsers
from runtime.services.auth.contacts import normal_email
from runtime.services.auth.ports import Sessions
from runtime.services.auth.routes.shown import DeviceShown, SessionShown, declared, session_of, user_of

READ = "account:read"
WRITE = "account:write"

SECRET = {"secret_answer": True}


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """Who signs in."""

    email: Annotated[str, msgspec.Meta(min_length=3, max_length=320)]
    password: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Switch(msgspec.Struct, forbid_unknown_fields=True):
    """Which account of the session is to be the current one."""

    account: Annotated[str, msgspec.Meta(max_length=40)]


class SignOut(msgspec.Struct, forbid_unknown_fields=True):
    """Who signs out: the current account, another one of the session, or all of them."""

    account: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    all: bool = False


class DeviceList(msgspec.Struct):
    """The sessions that the account is signed in to, the one used last first."""

    items: list[DeviceShown]


class Ended(msgspec.Struct):
    """How many sessions were ended."""

    ended: int


class SessionRoutes(Controller):
    """Sessions."""

    path = "/v1/auth"
    tags = ["sessions"]

    @post(
        "/login",
        opt={**OPEN, **SECRET, **audited("session.login", "user:{current.id}", "id")},
        status_code=HTTP_200_OK,
        summary="Sign in; adds an account to the session",
    )
    async def sign_in(
        self,
        data: JSONBody[SignIn],
        request: Request[Any, Any, Any],
        sessions: Port[Sessions | None],
        browsers: Port[Browsers | None],
        caller: Port[Caller],
    ) -> SessionShown:
        kept = declared(browsers)
        kept.check(request.scope)
        visitor = kept.visitor(request.scope)
        email = normal_email(data.email)
        signed = await declared(sessions).sign_in(visitor, caller.session, email, data.password)
        kept.give(request.scope, signed)
        return SessionShown.of(signed)

    @post("/refresh", opt={**OPEN, **SECRET}, status_code=HTTP_200_OK, summary="New tokens for the refresh cookie")
    async def refresh(
        self, request: Request[Any, Any, Any], sessions: Port[Sessions | None], browsers: Port[Browsers | None]
    ) -> SessionShown:
        kept = declared(browsers)
        kept.check(request.scope)
        signed = kept.renewed(request.scope)  # the access token had run out: it is done
        if signed is None:
            signed = await declared(sessions).refresh(kept.visitor(request.scope))
            kept.give(request.scope, signed)
        return SessionShown.of(signed)

    @get("/session", opt={**scope(READ), **SECRET}, summary="The session: its accounts, the current one, its csrf")
    async def session(self, sessions: Port[Sessions | None], caller: Port[Caller]) -> SessionShown:
        return SessionShown.of(await declared(sessions).show(session_of(caller)))

    @post(
        "/switch",
        opt={**scope(WRITE), **SECRET, **audited("session.switch", "user:{account}")},
        status_code=HTTP_200_OK,
        summary="Make another account current",
    )
    async def switch(
        self,
        data: JSONBody[Switch],
        request: Request[Any, Any, Any],
        sessions: Port[Sessions | None],
        browsers: Port[Browsers | None],
        caller: Port[Caller],
    ) -> SessionShown:
        signed = await declared(sessions).switch(session_of(caller), data.account)
        declared(browsers).give(request.scope, signed)
        return SessionShown.of(signed)

    @post(
        "/logout",
        opt={**scope(WRITE), **SECRET, **audited("session.logout", "session:{caller.session}", "account", "all")},
        status_code=HTTP_200_OK,
        summary="Sign out of one account or all",
    )
    async def sign_out(
        self,
        data: JSONBody[SignOut],
        request: Request[Any, Any, Any],
        sessions: Port[Sessions | None],
        browsers: Port[Browsers | None],
        caller: Port[Caller],
    ) -> Response[SessionShown | None]:
        wanted = None if data.all else data.account or user_of(caller)
        left = await declared(sessions).sign_out(session_of(caller), wanted)
        if left is None:
            declared(browsers).take(request.scope)
            return Response(None, status_code=204)
        declared(browsers).give(request.scope, left)
        return Response(SessionShown.of(left))

    @get("/sessions", opt=scope(READ), summary="The devices that the account is signed in on")
    async def devices(self, sessions: Port[Sessions | None], caller: Port[Caller]) -> DeviceList:
        found = await declared(sessions).devices(user_of(caller))
        return DeviceList([DeviceShown.of(device, caller.session) for device in found])

    @delete(
        "/sessions/{session_id:str}",
        opt={**scope(WRITE), **audited("session.revoke", "session:{session_id}")},
        summary="Sign the account out of one device",
    )
    async def revoke(self, session_id: FromPath[str], sessions: Port[Sessions | None], caller: Port[Caller]) -> None:
        await declared(sessions).revoke(user_of(caller), session_id)

    @post(
        "/sessions/revoke-others",
        opt={**scope(WRITE), **audited("session.revoke_others", "{caller.account}", "ended")},
        status_code=HTTP_200_OK,
        summary="Keep this device alone",
    )
    async def revoke_others(self, sessions: Port[Sessions | None], caller: Port[Caller]) -> Ended:
        return Ended(await declared(sessions).revoke_others(user_of(caller), session_of(caller)))
