"""The browsers that users have subscribed to push messages."""

from __future__ import annotations

import hashlib
import logging
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from runtime.errors import Invalid, NotFound, Pointer
from runtime.services.notifications.endpoints import fault_of
from runtime.services.notifications.store import push

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.notifications.ports import People, PushSubscription
    from runtime.services.outbox.ports import Transactions
    from runtime.storage.database import Database

logger = logging.getLogger("runtime.notifications")

MOST: Final = 50
"""Subscriptions that a user may have; the oldest makes room for a new one."""


class PushKeys(Protocol):
    """What the push channel knows of its keys."""

    @property
    def public(self) -> str:
        """The current public key in base 64."""
        ...

    @property
    def current(self) -> str:
        """The id of the current key."""
        ...

    @property
    def private_endpoints(self) -> bool:
        """Whether endpoints may be in the own network."""
        ...

    def id_of(self, public: str) -> str | None:
        """The id of one of our keys; None where it is another's."""
        ...

    async def rotate(self) -> None:
        """Makes another key the current one; the one before goes on signing for its subscriptions."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A subscription as a browser's `PushSubscription.toJSON()` has it.

    Args:
        key: the `applicationServerKey` that the browser used; None for the current one.
        device: what the user calls it.
    """

    endpoint: str
    p256dh: str
    auth: str
    expires_at: datetime | None = None
    key: str | None = None
    device: str = ""


class Devices:
    """Keeps push subscriptions; implements the port `Devices`.

    Args:
        keys: of the push channel; None where the spec has none.
        people: the users that there are.
    """

    def __init__(
        self, database: Database, transactions: Transactions, people: People | None, keys: PushKeys | None
    ) -> None:
        self._database = database
        self._transactions = transactions
        self._people = people
        self._keys = keys

    @property
    def vapid(self) -> tuple[str, str]:
        keys = self._declared()
        return keys.current, keys.public

    async def keys(self) -> dict[str, int]:
        current = self._declared().current
        async with self._database.reading() as connection:
            return {current: 0, **await push.by_key(connection)}

    async def rotate(self) -> None:
        keys = self._declared()
        old = keys.current
        await keys.rotate()
        logger.warning("the VAPID key %s was replaced by %s", old, keys.current)

    async def subscriptions(self, user: str) -> list[PushSubscription]:
        async with self._database.reading() as connection:
            return await push.of_user(connection, user)

    async def subscribe(self, user: str, asked: Asked) -> PushSubscription:
        keys = self._declared()
        key = _require_good(asked, keys)
        if self._people is None or user not in await self._people.find([user]):
            raise NotFound("there is no such user")
        id_ = hashlib.sha256(asked.endpoint.encode()).hexdigest()[:40]
        async with self._transactions.transaction() as tx:
            await push.put(tx.connection, id_, user, asked, key)
            await push.keep_newest(tx.connection, user, MOST)
            found = await push.of_user(tx.connection, user)
        return next(each for each in found if each.id == id_)

    async def unsubscribe(self, user: str, id_: str) -> None:
        async with self._transactions.transaction() as tx:
            if not await push.remove(tx.connection, user, id_):
                raise NotFound("this is no subscription of the account")

    def _declared(self) -> PushKeys:
        if self._keys is None:
            raise NotFound(
                "the spec declares no channel for push messages",
                remedy="Add a channel with `kind: webpush` to notifications.channels.",
            )
        return self._keys


def _require_good(asked: Asked, keys: PushKeys) -> str:
    """The id of the key that a subscription was made with."""
    key = keys.current if asked.key is None else keys.id_of(asked.key)
    wrong = {
        "/endpoint": fault_of(asked.endpoint, private=keys.private_endpoints),
        "/keys/p256dh": _fault_of_bytes(asked.p256dh, 65),
        "/keys/auth": _fault_of_bytes(asked.auth, 16),
        "/expirationTime": "it is over" if asked.expires_at and asked.expires_at <= datetime.now(UTC) else "",
        "/applicationServerKey": "" if key is not None else "it is none of this server's keys: subscribe anew",
    }
    errors: Sequence[Pointer] = [Pointer(where, said) for where, said in wrong.items() if said]
    if errors or key is None:
        raise Invalid(f"this subscription cannot be used: {errors[0].detail}", errors=errors)
    return key


def _fault_of_bytes(value: str, length: int) -> str:
    """What is wrong with bytes in URL-safe base 64; of 65 bytes they must be a point of P-256."""
    try:
        given = urlsafe_b64decode(value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4))
    except ValueError:
        return "it is not base 64"
    if len(given) != length:
        return f"it has {len(given)} bytes instead of {length}"
    return "it is no point of P-256" if length == 65 and not _on_p256(given) else ""


def _on_p256(point: bytes) -> bool:
    """Whether 65 bytes are a point of the curve P-256 (SEC 1, section 2.3.4; FIPS 186-4, D.1.2.3)."""
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    x, y = int.from_bytes(point[1:33]), int.from_bytes(point[33:])
    return point[0] == 4 and x < prime and y < prime and (y * y - (x * x * x - 3 * x + b)) % prime == 0
