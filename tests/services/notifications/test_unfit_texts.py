"""Texts that no database keeps: refused in words, wherever they come in, and before anything waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Fault, Invalid
from runtime.services.notifications.ports import Audience

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.notifications.site import Site

    Build = Callable[..., Awaitable[Site]]

UNFIT = ["a\x00b", "a\ud800b"]
NEWS = {"news": {"channels": ["in_app"]}}


@pytest.mark.parametrize("text", UNFIT)
async def test_a_notification_with_such_a_text_is_not_taken(site: Build, text: str) -> None:
    at = await site(NEWS)
    await at.user("ada")
    asked: list[dict[str, Any]] = [
        {"thing": text}, {"data": {"thing": "x", "deep": [{"er": text}]}}, {"data": {"thing": "x", text: 1}},
        {"key": text}, {"to": Audience(topic=text)}, {"to": Audience(users=(text,))},
        {"to": Audience(everyone=True, but=(text,))},
    ]  # fmt: skip
    for each in asked:
        with pytest.raises(Invalid, match="a text has"):
            await at.notify("news", *(() if "to" in each else ("ada",)), **each)
    assert await at.sql("SELECT id FROM notifications") == []


async def test_the_text_of_an_escape_is_a_text(site: Build) -> None:
    at = await site(NEWS)
    await at.user("ada")
    for text in ("\\u0000", "\\\\u0000", "\\ud800", "\U0001f642"):
        await at.notify("news", "ada", thing=text)
    shown = [item.title for item in await at.service.inboxes.inbox("ada")]
    assert shown == ["\U0001f642", "\\ud800", "\\\\u0000", "\\u0000"]


@pytest.mark.parametrize("text", UNFIT)
async def test_whatever_is_looked_up_by_it_is_refused_or_not_there(site: Build, text: str) -> None:
    at = await site(NEWS)
    await at.user("ada")
    service = at.service
    for ask in (
        lambda: service.inboxes.read("ada", text), lambda: service.inboxes.archive("ada", text),
        lambda: service.receipts.deliveries(text), lambda: service.devices.unsubscribe("ada", text),
        lambda: service.choices.subscribe("topic", text),
    ):  # fmt: skip
        with pytest.raises(Fault) as refused:
            await ask()
        assert refused.value.status in (400, 404)
    assert await service.inboxes.unread("ada") == 0  # the connection is as good as before
