"""The HTTP calls that change an inbox."""

import msgspec
from litestar import Controller, post
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK

from runtime.http.access import Caller, scope
from runtime.http.ports import Port
from runtime.services.notifications.ports import Notifications
from runtime.services.notifications.routes.shown import WRITE, declared, user_of


class UnreadLeft(msgspec.Struct):
    """How many are left that were not read."""

    unread: int


class InboxRoutes(Controller):
    """The inbox."""

    path = "/v1/notifications"
    tags = ["notifications"]

    @post("/read", opt=scope(WRITE), status_code=HTTP_200_OK, summary="Mark all as read")
    async def read_all(self, notifications: Port[Notifications | None], caller: Port[Caller]) -> UnreadLeft:
        return await self._read(declared(notifications), user_of(caller), None)

    @post("/{item_id:str}/read", opt=scope(WRITE), status_code=HTTP_200_OK, summary="Mark one as read")
    async def read(
        self, item_id: FromPath[str], notifications: Port[Notifications | None], caller: Port[Caller]
    ) -> UnreadLeft:
        return await self._read(declared(notifications), user_of(caller), item_id)

    @post("/{item_id:str}/archive", opt=scope(WRITE), status_code=HTTP_200_OK, summary="Put one away")
    async def archive(
        self, item_id: FromPath[str], notifications: Port[Notifications | None], caller: Port[Caller]
    ) -> UnreadLeft:
        inboxes, whose = declared(notifications).inboxes, user_of(caller)
        await inboxes.archive(whose, item_id)
        return UnreadLeft(await inboxes.unread(whose))

    async def _read(self, notifications: Notifications, user: str, item: str | None) -> UnreadLeft:
        await notifications.inboxes.read(user, item)
        return UnreadLeft(await notifications.inboxes.unread(user))
