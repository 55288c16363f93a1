"""The HTTP calls by which browsers subscribe to push messages."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar import Controller, delete, get, post
from litestar.params import JSONBody, QueryParameter

from runtime.errors import Invalid, Pointer
from runtime.http.access import ADMIN, Caller, scope
from runtime.http.audit import audited
from runtime.http.ports import Port
from runtime.services.notifications.devices import Asked
from runtime.services.notifications.ports import Devices, Notifications, PushSubscription
from runtime.services.notifications.routes.shown import READ, WRITE, declared, user_of

User = Annotated[str | None, QueryParameter(max_length=40, description="Another's, which needs `runtime:admin`.")]
Id = Annotated[str, QueryParameter(name="id", max_length=40, description="As the list has it.")]
Key = Annotated[str, msgspec.Meta(max_length=200)]


class SubscriptionKeys(msgspec.Struct):
    """The browser's keys, in URL-safe base 64."""

    p256dh: Key
    auth: Annotated[str, msgspec.Meta(max_length=100)]


class SubscriptionBody(msgspec.Struct):
    """What `PushSubscription.toJSON()` gives, and a name.

    Args:
        expirationTime: milliseconds since 1970.
        applicationServerKey: the key that the browser subscribed with; by default the current one.
        device: what the user calls it.
    """

    endpoint: Annotated[str, msgspec.Meta(max_length=2000)]
    keys: SubscriptionKeys
    expirationTime: float | None = None  # noqa: N815 - the browser's name
    applicationServerKey: Key | None = None  # noqa: N815 - the browser's name
    device: Annotated[str, msgspec.Meta(max_length=200)] = ""


class SubscriptionShown(msgspec.Struct):
    """A subscription. Its endpoint is a secret between the browser and us, and is not told.

    Args:
        id: what `included_push` of the settings names.
        current: whether it was made with the current key; otherwise the browser should subscribe anew.
        used_at: when a push service last took a message for it.
    """

    id: str
    device: str
    current: bool
    created_at: datetime
    used_at: datetime | None
    expires_at: datetime | None


class SubscriptionsShown(msgspec.Struct):
    """The subscriptions of an account, the oldest first."""

    items: list[SubscriptionShown]


class VapidShown(msgspec.Struct):
    """The current key.

    Args:
        public_key: for `pushManager.subscribe({applicationServerKey})`.
    """

    id: str
    public_key: str


class KeyShown(msgspec.Struct):
    """A key that subscriptions were made with.

    Args:
        current: whether new ones are.
        subscriptions: how many there are.
    """

    id: str
    current: bool
    subscriptions: int


class KeysShown(msgspec.Struct):
    """The keys, the current one first."""

    items: list[KeyShown]


class PushRoutes(Controller):
    """Push subscriptions."""

    path = "/v1/notifications"
    tags = ["notifications"]

    @get("/vapid", opt=scope(READ), summary="The key that browsers subscribe with")
    async def vapid(self, notifications: Port[Notifications | None]) -> VapidShown:
        return VapidShown(*declared(notifications).devices.vapid)

    @get("/vapid/keys", opt=scope(ADMIN), summary="The keys, and how many subscriptions were made with each")
    async def keys(self, notifications: Port[Notifications | None]) -> KeysShown:
        return await _keys(declared(notifications).devices)

    @post(
        "/vapid/rotate",
        opt={**scope(ADMIN), **audited("push_key.rotate", "push-key:{current}")},
        status_code=200,
        summary="Make a new key; subscriptions of older ones go on until their browsers renew them",
    )
    async def rotate(self, notifications: Port[Notifications | None]) -> KeysShown:
        devices = declared(notifications).devices
        await devices.rotate()
        return await _keys(devices)

    @get("/push-subscriptions", opt=scope(READ), summary="The browsers that get push messages")
    async def all(
        self, notifications: Port[Notifications | None], caller: Port[Caller], user: User = None
    ) -> SubscriptionsShown:
        devices = declared(notifications).devices
        key, _ = devices.vapid
        return SubscriptionsShown([_shown(each, key) for each in await devices.subscriptions(user_of(caller, user))])

    @post("/push-subscriptions", opt=scope(WRITE), summary="Subscribe a browser; again changes it")
    async def subscribe(
        self,
        data: JSONBody[SubscriptionBody],
        notifications: Port[Notifications | None],
        caller: Port[Caller],
        user: User = None,
    ) -> SubscriptionShown:
        devices = declared(notifications).devices
        made = await devices.subscribe(user_of(caller, user), _asked(data))
        return _shown(made, devices.vapid[0])

    @delete("/push-subscriptions", opt=scope(WRITE), summary="End a browser's subscription")
    async def unsubscribe(
        self, subscription: Id, notifications: Port[Notifications | None], caller: Port[Caller], user: User = None
    ) -> None:
        await declared(notifications).devices.unsubscribe(user_of(caller, user), subscription)


async def _keys(devices: Devices) -> KeysShown:
    counts = await devices.keys()
    current, _ = devices.vapid
    return KeysShown([KeyShown(id_, id_ == current, count) for id_, count in counts.items()])


def _asked(data: SubscriptionBody) -> Asked:
    ends = None
    if data.expirationTime is not None:
        try:
            ends = datetime.fromtimestamp(data.expirationTime / 1000, UTC)
        except (ValueError, OverflowError, OSError) as error:
            wrong = Pointer("/expirationTime", "no time in milliseconds since 1970")
            raise Invalid("this subscription cannot be used", errors=[wrong]) from error
    return Asked(data.endpoint, data.keys.p256dh, data.keys.auth, ends, data.applicationServerKey, data.device)


def _shown(each: PushSubscription, key: str) -> SubscriptionShown:
    return SubscriptionShown(
        each.id, each.device, each.vapid_key == key, each.created_at, each.used_at, each.expires_at
    )
