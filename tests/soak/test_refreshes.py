"""Ten thousand tabs of one browser refresh at once, at two instances: one child or a 503 each, no session lost."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import pytest

from runtime.errors import Unauthenticated, Unreachable
from runtime.http.problems import describe
from runtime.services.auth.ports import Signed, Visitor
from tests.services.auth.conftest import auths as auths
from tests.services.conftest import client as client
from tests.services.conftest import postgres as postgres
from tests.services.conftest import schema as schema
from tests.services.conftest import shared_server as shared_server
from tests.services.conftest import url as url
from tests.services.outbox.conftest import place as place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.auth.conftest import Site

pytestmark = pytest.mark.soak

TABS = 10_000
PASSWORD = "correct horse battery"


async def test_ten_thousand_parallel_refreshes_of_one_family(
    auths: Callable[..., Awaitable[Site]], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = await auths(), await auths()
    await one.users.add("ada@example.com", PASSWORD, verified=True, scopes=())
    first = await one.sessions.sign_in(Visitor("127.0.0.1"), None, "ada@example.com", PASSWORD)
    visitor = Visitor("127.0.0.1", refresh=first.refresh)
    began = time.perf_counter()
    outcomes = await asyncio.gather(
        *[each.sessions.refresh(visitor) for each in (one, two) * (TABS // 2)], return_exceptions=True
    )
    took = time.perf_counter() - began
    answers = [outcome for outcome in outcomes if isinstance(outcome, Signed)]
    refusals = [outcome for outcome in outcomes if not isinstance(outcome, Signed)]
    print(f"{TABS} refreshes in {took:.1f} s: {len(answers)} have the child, {len(refusals)} are to come back")
    for refusal in refusals:  # more wait for the database than it serves in the time for which it lets them wait
        assert isinstance(refusal, Unreachable), refusal
        assert "too many requests wait" in refusal.reason
        problem, headers = describe(refusal)
        assert (problem.status, int(headers["Retry-After"]) > 0) == (503, True)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info] == []
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
