"""The HTTP calls by which notifications are told, read, previewed and traced."""

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from runtime.errors import Invalid, Pointer
from runtime.http.access import Caller, scope
from runtime.http.paging import After, Limit, Page, cursor, position
from runtime.http.ports import Port
from runtime.services.notifications.ports import Notifications
from runtime.services.notifications.routes.requests import NotificationRequest, NotificationTaken, PreviewRequest
from runtime.services.notifications.routes.shown import READ, SEND, DeliveryShown, ItemShown, declared, user_of

User = Annotated[str | None, QueryParameter(max_length=40, description="Another's inbox, which needs `runtime:admin`.")]
Unread = Annotated[bool, QueryParameter(description="Only what was not read.")]
Archived = Annotated[bool, QueryParameter(description="What was put away, instead of the rest.")]


class InboxShown(msgspec.Struct):
    """A page of an inbox, the newest first.

    Args:
        unread: how many there are in all that were not read.
    """

    items: list[ItemShown]
    unread: int
    next: str | None


class NotificationRoutes(Controller):
    """Notifications: telling them, and reading one's own."""

    path = "/v1/notifications"
    tags = ["notifications"]

    @post("/", opt=scope(SEND), status_code=HTTP_202_ACCEPTED, summary="Tell people something")
    async def notify(
        self, data: JSONBody[NotificationRequest], notifications: Port[Notifications | None], caller: Port[Caller]
    ) -> NotificationTaken:
        taken = await declared(notifications).sending.notify(data.notice(), data.to.audience(), by=caller.account)
        return NotificationTaken(taken.id, taken.deliveries, taken.known)

    @get("/", opt=scope(READ), summary="The inbox")
    async def inbox(
        self,
        notifications: Port[Notifications | None],
        caller: Port[Caller],
        unread: Unread = False,
        archived: Archived = False,
        user: User = None,
        limit: Limit = 50,
        after: After = None,
    ) -> InboxShown:
        inboxes, whose = declared(notifications).inboxes, user_of(caller, user)
        before = _position("inbox", after) if after else None
        found = await inboxes.inbox(whose, before=before, most=limit + 1, unread=unread, archived=archived)
        shown = [ItemShown.of(item) for item in found[:limit]]
        further = cursor("inbox", shown[-1].id) if len(found) > limit else None
        return InboxShown(shown, await inboxes.unread(whose), further)

    @get("/{notification_id:str}/deliveries", opt=scope(SEND), summary="What became of it, by recipient and channel")
    async def deliveries(
        self,
        notification_id: FromPath[str],
        notifications: Port[Notifications | None],
        limit: Limit = 50,
        after: After = None,
    ) -> Page[DeliveryShown]:
        begin = _position("deliveries", after) if after else ""
        found = await declared(notifications).receipts.deliveries(notification_id, after=begin, most=limit + 1)
        shown = [DeliveryShown.of(each) for each in found[:limit]]
        return Page(shown, cursor("deliveries", shown[-1].id) if len(found) > limit else None)

    @post("/preview", opt=scope(SEND), status_code=HTTP_200_OK, summary="What a notification would look like")
    async def preview(
        self, data: JSONBody[PreviewRequest], notifications: Port[Notifications | None]
    ) -> dict[str, str | None]:
        shown = await declared(notifications).receipts.preview(
            data.category, data.kind, data.data, language=data.language, link=data.link
        )
        return dict(shown)


def _position(list_: str, after: str) -> str:
    known = position(list_, after)
    if isinstance(known, str):
        return known
    raise Invalid("`after` is not a cursor of this list", errors=[Pointer("?after", "pass `next` as it is")])
