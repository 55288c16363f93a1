"""Accounts and keys over real databases and a real Redis."""

from __future__ import annotations

import json
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from runtime.services.auth.service import Auth
from runtime.services.auth.spec import AuthSpec
from runtime.services.auth.texts import QueuedTexts
from tests.services.outbox.conftest import place as place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.services.outbox.conftest import Place

CHEAP: dict[str, Any] = {"signup": "open", "passwords": {"rounds": 4}, "api_keys": {"rounds": 4}}
STREAMS: dict[str, Any] = {"security": {"events": {"login.failed": {}, "session.revoked": {}}}, "s": {"events": {}}}


class Site(Auth):
    """An instance, and what it has mailed and told."""

    at: Place

    async def mails(self) -> list[dict[str, Any]]:
        """The mails that were asked for, in order."""
        rows = await self.at.sql("SELECT body FROM outbox WHERE lane LIKE 'jobs%' ORDER BY id")
        return [_payload(json.loads(row.body)) for row in rows]

    async def code(self, email: str) -> str:
        """The code in the last mail to an address, or text message to a phone."""
        text = [mail.get("text") or mail["body"] for mail in await self.mails() if mail["to"] == [email]][-1]
        found = re.search(r"code(?: for your phone)? is (\w+-\w+)", text)
        assert found is not None, text
        return found[1]

    async def told(self) -> list[dict[str, Any]]:
        """The data of the `session.revoked` events, in order."""
        rows = await self.at.sql("SELECT body FROM outbox WHERE lane LIKE 'events%' ORDER BY id")
        return [_payload(json.loads(row.body), "data") for row in rows]


def _payload(body: Any, name: str = "payload") -> dict[str, Any]:
    """The mapping of a name, however deep."""
    if isinstance(body, dict):
        if isinstance(body.get(name), dict):
            found: dict[str, Any] = body[name]
            return found
        for value in body.values():
            if found := _payload(value, name):
                return found
    return {}


@pytest.fixture
async def auths(
    place: Callable[..., Awaitable[Place]], tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[Site]]]:
    """Makes instances that share a database; none of them follows revocations until it is told to look."""
    ends = AsyncExitStack()

    async def build(*, mail: str | None = "q", texts: str | None = None, **section: Any) -> Site:
        at = await place(streams=STREAMS)
        made = Site(
            AuthSpec.model_validate({**CHEAP, **section}),
            at.database,
            at.outbox,
            at.client,
            at.events.platform,
            name="core",
            prefix="rt:test:",
            folder=tmp_path / "keys",
            issuer="https://core.example.com",
            audience="core",
            mail=mail,
            texts=QueuedTexts(texts) if texts else None,
        )
        made.at = at
        await made.start()
        ends.push_async_callback(made.stop)
        return made

    async with ends:
        yield build
