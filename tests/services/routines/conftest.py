"""Sites that are stopped at the end of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.services.routines.site import Elsewhere, Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from runtime.storage.wire import WiredRedis


@pytest.fixture
async def site(client: WiredRedis) -> AsyncIterator[Callable[..., Awaitable[Site]]]:
    """Makes a site with one routine `r` of some steps: `await site({"a": {"uses": …}}, output="{{ … }}")`."""
    made: list[Site] = []

    async def build(
        steps: dict[str, Any],
        *,
        output: str | None = None,
        input: dict[str, Any] | None = None,  # noqa: A002 - the key of the spec
        queues: tuple[str, ...] = (),
        **options: Any,
    ) -> Site:
        routine = {"steps": steps, "output": output, "input": input or {}}
        made.append(Site(client, {"r": routine}, **options))
        return await made[-1].start(*queues)

    yield build
    for each in made:
        await each.stop()


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    server = Elsewhere()
    await server.start()
    yield server
    await server.stop()
