"""Who is told: an audience, read in pages, so that its size costs no memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtime.services.notifications.recipients import PHONE, STRANGER
from runtime.services.notifications.store import addresses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from runtime.services.notifications.ports import Audience, People
    from runtime.storage.database import Database

PAGE: Final = 500
SOURCES: Final = ("users", "emails", "phones", "topic", "everyone")


class Audiences:
    """Reads audiences.

    Args:
        database: where topics are.
        people: the users; None where the spec declares no accounts.
    """

    def __init__(self, database: Database, people: People | None) -> None:
        self._database = database
        self._people = people

    async def pages(
        self, audience: Audience, begin: tuple[str, str] = ("users", "")
    ) -> AsyncIterator[tuple[list[str], tuple[str, str]]]:
        """The recipients, a page at a time, each with the position to go on from.

        One who is named in several ways comes several times.
        """
        left_out = set(audience.but)
        source, after = begin
        for name in SOURCES[SOURCES.index(source) :]:
            while found := await self._page(audience, name, after):
                after = found[-1]
                yield [each for each in found if each not in left_out], (name, after)
            after = ""

    async def _page(self, audience: Audience, source: str, after: str) -> Sequence[str]:
        if source == "users":
            return sorted(each for each in set(audience.users) if each > after)[:PAGE]
        if source == "emails":
            named = {f"{STRANGER}{each}" for each in audience.emails}
            return sorted(each for each in named if each > after)[:PAGE]
        if source == "phones":
            named = {f"{PHONE}{each}" for each in audience.phones}
            return sorted(each for each in named if each > after)[:PAGE]
        if source == "topic":
            if audience.topic is None:
                return []
            async with self._database.reading() as connection:
                return await addresses.subscribers(connection, audience.topic, after, PAGE)
        return await self._people.after(after, PAGE) if audience.everyone and self._people is not None else []
