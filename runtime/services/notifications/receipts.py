"""What became of notifications, and what they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.errors import NotFound
from runtime.services.names import unknown
from runtime.services.notifications.channels.port import MailContent, PushContent
from runtime.services.notifications.store import deliveries, notices
from runtime.services.notifications.templates import kinds_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.services.notifications.channels.port import Content, Kind
    from runtime.services.notifications.declared import Declared
    from runtime.services.notifications.ports import Delivery
    from runtime.storage.database import Database


class Receipts:
    """Implements the port `Receipts`.

    Args:
        database: for reads.
    """

    def __init__(self, declared: Declared, database: Database) -> None:
        self._declared = declared
        self._database = database

    async def deliveries(self, notification: str, *, after: str = "", most: int = 50) -> list[Delivery]:
        async with self._database.reading() as connection:
            if await notices.find(connection, notification) is None:
                raise NotFound(f'no notification "{notification[:100]}"')
            return await deliveries.page(connection, notification, after, most)

    async def delivery(self, id_: str) -> Delivery | None:
        async with self._database.reading() as connection:
            return await deliveries.find(connection, id_)

    async def preview(
        self, category: str, kind: Kind, data: Mapping[str, Any], *, language: str | None, link: str | None
    ) -> Mapping[str, str | None]:
        if category not in self._declared.spec.categories:
            raise unknown("category", category, self._declared.spec.categories)
        kinds = kinds_of(self._declared.spec.categories[category], self._declared.spec)
        if kind not in kinds:
            raise NotFound(f'"{category}" does not go out as {kind}', remedy=f"It goes out as: {', '.join(kinds)}.")
        chosen = self._declared.templates.language(category, [language] if language else [])
        if kind == "in_app":
            title, text = self._declared.templates.title(category, data, chosen, link)
            return {"language": chosen, "title": title, "text": text, "link": link}
        return {"language": chosen, **_parts(self._declared.templates.content(category, kind, data, chosen, link=link))}


def _parts(content: Content) -> dict[str, str | None]:
    if isinstance(content, MailContent):
        return {"subject": content.subject, "text": content.text, "html": content.html}
    if isinstance(content, PushContent):
        return {"title": content.title, "text": content.body, "link": content.link}
    return {"text": content.body}
