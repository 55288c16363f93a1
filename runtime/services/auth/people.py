"""Users as those who are told something: names, addresses, time zones and languages, read in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.services.auth.store import users
from runtime.services.notifications.ports import Person

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.storage.database import Database


class UserDirectory:
    """Implements the port `People` of the notifications.

    Args:
        database: where the users are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, ids: Sequence[str]) -> dict[str, Person]:
        async with self._database.reading() as connection:
            found = await users.several(connection, ids)
            ids = [user.id for user in found]
            further, phones = await users.further_of(connection, ids), await users.phones_of_several(connection, ids)
        return {
            user.id: Person(
                user.id,
                user.name,
                user.time_zone,
                user.languages,
                ((user.email, user.verified_at is not None), *further.get(user.id, ())),
                phones.get(user.id, ()),
            )
            for user in found
        }

    async def after(self, id_: str, most: int) -> list[str]:
        async with self._database.reading() as connection:
            return await users.ids_after(connection, id_, most)
