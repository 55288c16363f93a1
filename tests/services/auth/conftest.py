"""Accounts and keys over real databases."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from runtime.services.auth.service import Auth
from runtime.services.auth.spec import AuthSpec
from tests.services.outbox.conftest import place as place
from tests.services.outbox.conftest import postgres as postgres
from tests.services.outbox.conftest import url as url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.services.outbox.conftest import Place

CHEAP: dict[str, Any] = {"passwords": {"rounds": 4}, "api_keys": {"rounds": 4}}


@pytest.fixture
async def auths(
    place: Callable[..., Awaitable[Place]], tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[Auth]]]:
    """Makes instances that share a database; none of them follows revocations until it is told to look."""
    ends = AsyncExitStack()

    async def build(**section: Any) -> Auth:
        made = Auth(
            AuthSpec.model_validate({**CHEAP, **section}),
            (await place()).database,
            keys=tmp_path / "keys",
            issuer="https://core.example.com",
            audience="core",
        )
        await made.start()
        ends.push_async_callback(made.stop)
        return made

    async with ends:
        yield build
