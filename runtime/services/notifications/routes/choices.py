"""The HTTP calls by which users choose what they get."""

from typing import Annotated

import msgspec
from litestar import Controller, delete, get, put
from litestar.params import FromPath, JSONBody, QueryParameter

from runtime.errors import Invalid, Pointer
from runtime.http.access import ADMIN, Caller, scope
from runtime.http.audit import audited
from runtime.http.ports import Port
from runtime.services.notifications.ports import Notifications
from runtime.services.notifications.routes.shown import READ, WRITE, declared, user_of
from runtime.services.notifications.settings import Settings

User = Annotated[str | None, QueryParameter(max_length=40, description="Another's, which needs `runtime:admin`.")]


class CategoryShown(msgspec.Struct):
    """A category that a user can choose.

    Args:
        default: whether users get it before they have chosen.
        mandatory: whether they cannot switch it off.
        channels: the kinds of channels that it goes out on.
    """

    name: str
    description: str | None
    mandatory: bool
    default: bool
    channels: list[str]
    daily_limit: int | None


class CategoriesShown(msgspec.Struct):
    """All categories, in the spec's order."""

    items: list[CategoryShown]


class PreferenceRoutes(Controller):
    """What a user wants."""

    path = "/v1/notifications"
    tags = ["notifications"]

    @get("/categories", opt=scope(READ), summary="What there is to choose from")
    async def categories(self, notifications: Port[Notifications | None]) -> CategoriesShown:
        found = declared(notifications).choices.categories()
        return CategoriesShown(
            [msgspec.convert({"name": name, **about}, CategoryShown) for name, about in found.items()]
        )

    @get("/preferences", opt=scope(READ), summary="The settings of the current account")
    async def show(
        self, notifications: Port[Notifications | None], caller: Port[Caller], user: User = None
    ) -> Settings:
        return await declared(notifications).choices.settings(user_of(caller, user))

    @put("/preferences", opt=scope(WRITE), summary="Change them; what is left out takes its default")
    async def change(
        self,
        data: JSONBody[Settings],
        notifications: Port[Notifications | None],
        caller: Port[Caller],
        user: User = None,
    ) -> Settings:
        return await declared(notifications).choices.change_settings(user_of(caller, user), data)


class TopicRoutes(Controller):
    """Topics that users follow."""

    path = "/v1/notifications/topics/{topic:str}"
    tags = ["notifications"]

    @put("/subscription", opt=scope(WRITE), summary="Be told of a topic", status_code=204)
    async def follow(
        self, topic: FromPath[str], notifications: Port[Notifications | None], caller: Port[Caller]
    ) -> None:
        await declared(notifications).choices.subscribe(_topic(topic), user_of(caller))

    @delete("/subscription", opt=scope(WRITE), summary="Be told no more")
    async def leave(
        self, topic: FromPath[str], notifications: Port[Notifications | None], caller: Port[Caller]
    ) -> None:
        await declared(notifications).choices.leave(_topic(topic), user_of(caller))

    @put(
        "/subscribers/{user_id:str}",
        opt={**scope(ADMIN), **audited("topic.add", "user:{user_id}", "topic")},
        summary="Put a user on a list",
        status_code=204,
    )
    async def add(
        self, topic: FromPath[str], user_id: FromPath[str], notifications: Port[Notifications | None]
    ) -> None:
        await declared(notifications).choices.subscribe(_topic(topic), user_id)

    @delete(
        "/subscribers/{user_id:str}",
        opt={**scope(ADMIN), **audited("topic.remove", "user:{user_id}", "topic")},
        summary="Take a user off a list",
    )
    async def remove(
        self, topic: FromPath[str], user_id: FromPath[str], notifications: Port[Notifications | None]
    ) -> None:
        await declared(notifications).choices.leave(_topic(topic), user_id)


def _topic(topic: str) -> str:
    if not topic.isprintable() or len(topic) > 200:
        raise Invalid("this is no topic", errors=[Pointer("/topic", "at most 200 printable characters")])
    return topic
