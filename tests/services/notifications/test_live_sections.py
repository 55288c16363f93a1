"""What the spec says of categories changes while everything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Fault, NotFound
from runtime.services.notifications.preferences import OVER_LIMIT
from runtime.services.notifications.spec import NotificationsSpec
from runtime.spec.fields import live_fields
from tests.services.notifications.site import FILES, write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.services.notifications.site import Site

    Build = Callable[..., Awaitable[Site]]


def news(**more: Any) -> dict[str, Any]:
    """The `categories` of a changed spec."""
    return {"categories": {"news": {"channels": ["in_app", "email"], "template": "t", **more}}}


def test_all_but_the_channels_change_live() -> None:
    assert live_fields(NotificationsSpec) == set(NotificationsSpec.model_fields) - {"channels"}


async def test_a_category_changes_while_it_is_used(site: Build, post: Any, tmp_path: Path) -> None:
    write(tmp_path / "other", {**FILES, "subject.txt": "Other {{ thing }}"})
    at = await site()
    await at.user("ada")
    await at.work()

    async def subject() -> str:
        receipts = await at.settled(await at.notify("news", "ada"))
        return str(post.received[-1][1]["Subject"]) if receipts["ada", "email", ""].status == "sent" else ""

    assert await subject() == "About news"
    await at.service.update(news(template="other"))
    assert await subject() == "Other news"
    await at.service.update(news(channels=["in_app"]))
    assert set(await at.settled(await at.notify("news", "ada"))) == {("ada", "in_app", "")}
    await at.service.update(news(default="out"))
    receipts = await at.settled(await at.notify("news", "ada"))
    assert receipts["ada", "email", ""].reason == "the category is switched off"
    assert at.service.choices.categories()["news"]["default"] is False
    await at.service.update(news(daily_limit=1))
    assert await subject() == "About news"
    receipts = await at.settled(await at.notify("news", "ada"))
    assert receipts["ada", "email", ""].reason == OVER_LIMIT
    write(tmp_path / "fr", {**FILES, "subject.txt": "About {{ thing }}", "subject.fr.txt": "À propos"})
    await at.sql("UPDATE users SET languages = 'fr'")
    await at.service.update({**news(template="fr"), "languages": ["en", "fr"]})
    assert await subject() == "À propos"


async def test_suppression_changes_live(site: Build, post: Any) -> None:
    at = await site()
    await at.user("ada")
    await at.work()
    await at.service.update({"suppression": {"bounces": 2}})
    post.answers["ada@example.com"] = ["550 5.1.1 nobody"] * 2
    came = [(await at.settled(await at.notify("news", "ada")))["ada", "email", ""] for _ in range(3)]
    assert [each.status for each in came] == ["bounced", "bounced", "suppressed"]


async def test_a_wrong_template_changes_nothing(site: Build, tmp_path: Path) -> None:
    at = await site()
    await at.user("ada")
    write(tmp_path / "broken", {**FILES, "subject.txt": "{{ thing"})
    for wrong in ("broken", "missing"):
        with pytest.raises(Fault):
            await at.service.update(news(template=wrong, channels=["in_app"]))
    assert {kind for _, kind, _ in await at.receipts(await at.notify("news", "ada"))} == {"in_app", "email"}


async def test_what_waits_for_a_category_that_is_gone_is_suppressed(site: Build, post: Any) -> None:
    at = await site({"news": {"channels": ["in_app", "email"], "reminders": ["1s"]}})
    await at.user("ada")
    told = await at.notify("news", "ada")
    await at.service.update({"categories": {"other": {"channels": ["in_app"], "template": "t"}}})
    await at.work()
    receipts = await at.settled(told)
    assert receipts["ada", "email", ""].reason == "the category is declared no more"
    assert receipts["ada", "in_app", ""].status == "sent"
    assert post.received == []
    with pytest.raises(NotFound, match="news"):
        await at.notify("news", "ada")
