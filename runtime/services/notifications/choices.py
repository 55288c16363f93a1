"""What users choose: their settings, the ends of mails by a link, and the topics that they follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.errors import Invalid, NotFound, Pointer
from runtime.services.names import unknown
from runtime.services.notifications.recipients import has_account, known, people_of
from runtime.services.notifications.settings import INCLUDED, Settings
from runtime.services.notifications.store import addresses, preferences
from runtime.services.notifications.templates import kinds_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.services.events.ports import Platform
    from runtime.services.notifications.declared import Declared
    from runtime.services.notifications.links import Links
    from runtime.services.notifications.ports import People
    from runtime.services.outbox.ports import Transactions
    from runtime.storage.database import Database


class Choices:
    """Keeps what users want.

    Args:
        links: reads the links of mails.
        platform: is told of changes: `preferences.changed`.
    """

    def __init__(
        self,
        declared: Declared,
        database: Database,
        transactions: Transactions,
        people: People | None,
        links: Links,
        platform: Platform,
    ) -> None:
        self._declared = declared
        self._database = database
        self._transactions = transactions
        self._people = people
        self._links = links
        self._platform = platform

    def categories(self) -> Mapping[str, Mapping[str, Any]]:
        return {
            name: {
                "description": category.description,
                "mandatory": category.mandatory,
                "default": category.default == "in",
                "channels": kinds_of(category, self._declared.spec),
                "daily_limit": category.daily_limit,
            }
            for name, category in self._declared.spec.categories.items()
        }

    async def settings(self, user: str) -> Settings:
        async with self._database.reading() as connection:
            return await preferences.find(connection, user)

    async def change_settings(self, user: str, settings: Settings) -> Settings:
        await self._require_good(user, settings)
        await self._store(user, settings, "user")
        return settings

    async def unsubscribe(self, token: str) -> tuple[str, str]:
        claim = self._links.read(token)
        async with self._transactions.transaction() as tx:
            before = await preferences.find(tx.connection, claim.recipient, lock=True)
            after = before.without(claim.category, "email")
            if after != before:
                await preferences.put(tx.connection, claim.recipient, after)
        if after != before:
            self._platform.preferences_changed(claim.recipient, by="unsubscribe", category=claim.category)
        return claim.category, claim.address

    async def subscribed(self, token: str) -> tuple[str, str]:
        claim = self._links.read(token)
        return claim.category, claim.address

    async def subscribe(self, topic: str, user: str) -> None:
        if user not in await people_of(self._people, [user]):
            raise NotFound("there is no such user")
        async with self._transactions.transaction() as tx:
            await addresses.subscribe(tx.connection, topic, user)

    async def leave(self, topic: str, user: str) -> None:
        async with self._transactions.transaction() as tx:
            await addresses.leave(tx.connection, topic, user)

    async def _store(self, user: str, settings: Settings, by: str) -> None:
        async with self._transactions.transaction() as tx:
            await preferences.put(tx.connection, user, settings)
        self._platform.preferences_changed(user, by=by, category=None)

    async def _require_good(self, user: str, settings: Settings) -> None:
        for name in settings.categories:
            if name not in self._declared.spec.categories:
                said = unknown("category", name, self._declared.spec.categories)
                raise Invalid(said.message, errors=[Pointer(f"/categories/{name}", said.remedy)], remedy=said.remedy)
        for name, own in settings.categories.items():
            if own.enabled is False and self._declared.spec.categories[name].mandatory:
                raise Invalid(
                    f'"{name}" cannot be switched off',
                    errors=[Pointer(f"/categories/{name}/enabled", "this category is mandatory")],
                )
        found = await people_of(self._people, [user])
        if user not in found or not has_account(user):
            raise NotFound("there is no such user")
        async with self._database.reading() as connection:
            mine = (await known(connection, found))[user].reachable
        for kind, field in INCLUDED.items():
            own_addresses = {address for address, _ in mine.addresses.get(kind, ())}
            for place, address in enumerate(settings.included(kind) or ()):
                if address not in own_addresses:
                    raise Invalid(
                        f"{field}: this is not one of yours",
                        errors=[Pointer(f"/{field}/{place}", "not an address or device of this account")],
                        remedy="Add it to your profile first.",
                    )
