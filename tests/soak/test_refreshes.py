"""Ten thousand tabs of one browser refresh at once: each gets the one child, no session is lost.

At two instances without HTTP, where all of them wait at once and some are told to come back; and over HTTP at one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

import aiohttp
import httpx
import pytest

from runtime.errors import Unauthenticated, Unreachable
from runtime.http.problems import describe
from runtime.services.auth.ports import Signed, Visitor
from runtime.testing import running
from tests.browser import Browser
from tests.services.auth.conftest import auths as auths
from tests.services.conftest import client as client
from tests.services.conftest import postgres as postgres
from tests.services.conftest import schema as schema
from tests.services.conftest import shared_server as shared_server
from tests.services.conftest import url as url
from tests.services.outbox.conftest import place as place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

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


AT_ONCE = 500
"""Connections; a browser itself opens six to a site."""


async def test_ten_thousand_parallel_refreshes_over_http(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(
        json.dumps(
            {
                "version": 1,
                "name": "tabs",
                "api": {"rate_limit": "1000000/m"},
                "auth": {"passwords": {"rounds": 4}},
                "observability": {"logs": {"level": "warning"}},
            }
        )
    )
    with running(tmp_path / "spec.yaml") as at, Browser(at) as browser:
        assert at.post("/v1/users", {"email": "ada@example.com", "password": PASSWORD}).status == 201
        assert browser.sign_in("ada@example.com", PASSWORD).status_code == 200
        first = dict(browser.cookies)
        came: Counter[int] = Counter()
        children: Counter[str] = Counter()

        async def tab(client: aiohttp.ClientSession) -> None:
            headers = {"Cookie": f"__Host-refresh={first['__Host-refresh']}", "Sec-Fetch-Site": "same-origin"}
            while True:
                async with client.post(f"{at.url}/v1/auth/refresh", headers=headers) as answer:
                    await answer.read()
                came[answer.status] += 1
                if answer.status != 503:
                    break
                await asyncio.sleep(int(answer.headers["Retry-After"]))  # more wait for the database than it serves
            if answer.status == 200:
                children[answer.cookies["__Host-refresh"].value] += 1

        connector, patience = aiohttp.TCPConnector(limit=AT_ONCE), aiohttp.ClientTimeout(total=150)
        began = time.perf_counter()
        async with aiohttp.ClientSession(
            connector=connector, timeout=patience, cookie_jar=aiohttp.DummyCookieJar()
        ) as client:
            await asyncio.gather(*[tab(client) for _ in range(TABS)])
        print(f"{TABS} refreshes over HTTP in {time.perf_counter() - began:.1f} s: {dict(came)}")
        assert set(came) <= {200, 503}
        assert came[200] == TABS  # each in the end
        assert came[503] < TABS // 100
        (child,) = children
        browser.cookies["__Host-refresh"] = child
        (device,) = browser.send("GET", "/v1/auth/sessions").json()["items"]
        assert device["here"] is True
        assert browser.send("POST", "/v1/auth/refresh").status_code == 200  # the one child lives
        assert browser.cookies["__Host-refresh"] != child
        thief = {"Cookie": f"__Host-refresh={first['__Host-refresh']}", "Sec-Fetch-Site": "same-origin"}
        assert httpx.post(f"{at.url}/v1/auth/refresh", headers=thief).status_code == 401
        assert browser.send("POST", "/v1/auth/refresh").status_code == 401  # the grandparent ends the family
        assert "Traceback" not in at.output
