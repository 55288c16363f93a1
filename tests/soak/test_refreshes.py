"""Ten thousand tabs of one browser refresh at once, at two instances: one child, no session lost."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from runtime.errors import Unauthenticated
from runtime.services.auth.ports import Signed, Visitor
from tests.services.auth.conftest import auths as auths
from tests.services.conftest import client as client
from tests.services.conftest import shared_server as shared_server
from tests.services.outbox.conftest import place as place
from tests.services.outbox.conftest import postgres as postgres
from tests.services.outbox.conftest import url as url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.auth.conftest import Site

pytestmark = pytest.mark.soak

TABS = 10_000
AT_ONCE = 200
"""As many as wait for a connection of the database; further ones would wait longer than it lets them."""
PASSWORD = "correct horse battery"


async def test_ten_thousand_parallel_refreshes_of_one_family(auths: Callable[..., Awaitable[Site]]) -> None:
    one, two = await auths(jwt={"reuse_grace": "10m"}), await auths(jwt={"reuse_grace": "10m"})
    await one.users.add("ada@example.com", PASSWORD, verified=True, scopes=())
    first = await one.sessions.sign_in(Visitor("127.0.0.1"), None, "ada@example.com", PASSWORD)
    visitor = Visitor("127.0.0.1", refresh=first.refresh)
    turn = asyncio.Semaphore(AT_ONCE)

    async def refresh(site: Site) -> Signed:
        async with turn:
            return await site.sessions.refresh(visitor)

    began = time.perf_counter()
    answers = await asyncio.gather(*[refresh(each) for each in (one, two) * (TABS // 2)])
    print(f"{TABS} refreshes in {time.perf_counter() - began:.1f} s")
    (child,) = {answer.refresh for answer in answers}
    assert {answer.session for answer in answers} == {first.session}
    tokens = await one.at.sql("SELECT digest, replaced_at FROM auth_refresh_tokens")
    assert [row.replaced_at is None for row in tokens].count(True) == 1  # the one child, and no other
    assert len(tokens) == 2
    assert len(await one.sessions.devices(first.current.id)) == 1
    next_ = await two.sessions.refresh(Visitor("127.0.0.1", refresh=child))
    assert next_.refresh not in (first.refresh, child)
    with pytest.raises(Unauthenticated, match="used twice"):
        await one.sessions.refresh(visitor)
    assert await one.sessions.devices(first.current.id) == []
