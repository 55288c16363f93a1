"""Two things done to one account at once: the safe one of both holds, whichever comes first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Invalid, RequestFault, Unauthenticated
from runtime.http.access import Caller
from runtime.services.auth.ports import Profile, Signed, Visitor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.auth.conftest import Site

    Sites = Callable[..., Awaitable[Site]]

GOOD, BETTER = "correct horse battery", "staple of the better kind"
HERE = "127.0.0.1"
ADA = "ada@example.com"


async def signed_in(site: Site, password: str = GOOD) -> Signed:
    return await site.sessions.sign_in(Visitor(HERE), None, ADA, password)


class Pause:
    """Holds the comparison of a password back, after it was made."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go = asyncio.Event(), asyncio.Event()
        passwords = site.accounts._passwords
        fits = passwords.fits

        async def held(kept: str | None, password: str) -> bool:
            right = await fits(kept, password)
            self.reached.set()
            await self.go.wait()
            return right

        monkeypatch.setattr(passwords, "fits", held)


async def with_ada(auths: Sites) -> Site:
    site = await auths()
    await site.users.add(ADA, GOOD, verified=True, scopes=())
    return site


async def reset(site: Site, password: str = BETTER) -> None:
    await site.accounts.ask_reset(HERE, ADA)
    await site.accounts.reset(HERE, ADA, await site.code(ADA), password)


async def test_who_signs_in_while_the_password_is_reset_has_no_session(
    auths: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await with_ada(auths)
    pause = Pause(site, monkeypatch)
    thief = asyncio.create_task(signed_in(site))
    await pause.reached.wait()
    await reset(site)
    pause.go.set()
    with pytest.raises(Unauthenticated):
        await thief
    assert await signed_in(site, BETTER)


async def test_who_changes_the_password_while_it_is_reset_changes_nothing(
    auths: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await with_ada(auths)
    stolen = await signed_in(site)
    pause = Pause(site, monkeypatch)
    caller = Caller(f"user:{stolen.current.id}", session=stolen.session)
    thief = asyncio.create_task(site.accounts.change_password(caller, "10.0.0.9", GOOD, "of the thief's own"))
    await pause.reached.wait()
    await reset(site)
    pause.go.set()
    with pytest.raises(Invalid, match="present password"):
        await thief
    assert await signed_in(site, BETTER)


async def test_an_old_password_is_not_hashed_anew_over_the_one_that_came_meanwhile(
    auths: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await with_ada(auths)
    site = await auths(passwords={"rounds": 5})
    pause = Pause(site, monkeypatch)
    late = asyncio.create_task(signed_in(site))
    await pause.reached.wait()
    await reset(old)
    pause.go.set()
    with pytest.raises(Unauthenticated):
        await late
    assert await signed_in(old, BETTER)


async def test_a_key_that_is_made_while_its_account_is_removed_is_none(
    auths: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await with_ada(auths)
    signed = await signed_in(site)
    run = site.api_keys._hashing.run
    reached, go = asyncio.Event(), asyncio.Event()

    async def held(work: Callable[[], Any]) -> Any:
        reached.set()
        await go.wait()
        return await run(work)

    monkeypatch.setattr(site.api_keys._hashing, "run", held)
    caller = Caller(f"user:{signed.current.id}", frozenset({"jobs:read"}), session=signed.session)
    made = asyncio.create_task(site.api_keys.create(caller, "mine", ["jobs:read"]))
    await reached.wait()
    await site.users.remove(signed.current.id)
    go.set()
    with pytest.raises(Unauthenticated):
        await made
    assert await site.api_keys.page(owner=None) == []


async def test_a_key_that_is_revoked_makes_no_other_on_its_way_out(
    auths: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await auths()
    operator = Caller("key:operator", frozenset({"runtime:admin"}))
    parent, _ = await site.api_keys.create(operator, "parent", ["keys:write"], owner="user:1")
    run = site.api_keys._hashing.run
    reached, go = asyncio.Event(), asyncio.Event()

    async def held(work: Callable[[], Any]) -> Any:
        reached.set()
        await go.wait()
        return await run(work)

    monkeypatch.setattr(site.api_keys._hashing, "run", held)
    thief = Caller(f"key:{parent.id}", frozenset(parent.scopes), "user:1")
    made = asyncio.create_task(site.api_keys.create(thief, "child", ["keys:write"]))
    await reached.wait()
    await site.api_keys.revoke(operator, parent.id)
    go.set()
    with pytest.raises(Unauthenticated):
        await made


async def outcomes(calls: list[Awaitable[object]]) -> list[object]:
    """None for what went well, else the class of the refusal; anything else is raised."""
    found: list[object] = []
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, RequestFault):
            raise outcome
        found.append(type(outcome) if isinstance(outcome, RequestFault) else None)
    return found


async def test_sign_ups_at_once_make_one_account_and_the_last_code_is_the_good_one(auths: Sites) -> None:
    site, other = await auths(), await auths()
    calls = [each.accounts.sign_up(f"10.0.0.{n}", ADA, GOOD) for n, each in enumerate((site, other) * 4)]
    assert await outcomes([*calls]) == [None] * 8
    assert len(await site.at.sql("SELECT * FROM auth_codes")) == 1
    code = await site.code(ADA)
    done = await outcomes([each.accounts.verify(HERE, ADA, code) for each in (site, other)])
    assert sorted(map(str, done)) == sorted(map(str, [None, Invalid]))
    assert len(await site.users.page(before=None, most=9)) == 1


async def test_of_resets_at_once_with_one_code_one_counts(auths: Sites) -> None:
    site, other = await with_ada(auths), await auths()
    assert (
        await outcomes([each.accounts.ask_reset(f"10.0.1.{n}", ADA) for n, each in enumerate((site, other) * 3)])
        == [None] * 6
    )
    await site.accounts.ask_reset(HERE, ADA)
    code = await site.code(ADA)
    words = ["the first new password", "the second new password"]
    done = await outcomes(
        [each.accounts.reset(HERE, ADA, code, word) for each, word in zip((site, other), words, strict=True)]
    )
    assert done.count(None) == 1
    with pytest.raises(Unauthenticated):
        await signed_in(site, words[done.index(Invalid)])
    assert await signed_in(site, words[done.index(None)])


async def test_invitations_at_once_make_one_account(auths: Sites) -> None:
    site, other = await auths(), await auths()
    done = await outcomes([each.users.add(ADA, None, verified=False, scopes=()) for each in (site, other) * 3])
    assert done.count(None) == 1
    (made,) = await site.users.page(before=None, most=9)
    assert await outcomes([each.users.invite(made.id) for each in (site, other) * 3]) == [None] * 6
    code = await site.code(ADA)
    done = await outcomes([each.accounts.reset(HERE, ADA, code, GOOD) for each in (site, other)])
    assert done.count(None) == 1
    assert await signed_in(site)


async def test_an_address_that_is_added_twice_at_once_gets_one_code(auths: Sites) -> None:
    site, other = await with_ada(auths), await auths()
    (ada,) = await site.users.page(before=None, most=9)
    wanted = Profile(emails=["second@example.com"])
    assert await outcomes([each.profiles.change(ada.id, HERE, wanted) for each in (site, other) * 2]) == [None] * 4
    assert len(await site.at.sql("SELECT * FROM auth_codes")) == 1


async def test_refreshes_and_the_end_of_their_session_do_not_wait_for_each_other(auths: Sites) -> None:
    site, other = await with_ada(auths), await auths()
    for _ in range(10):
        signed = await signed_in(site)
        visitor = Visitor(HERE, refresh=signed.refresh)
        calls: list[Awaitable[object]] = [each.sessions.refresh(visitor) for each in (site, other) * 3]
        calls.insert(1, other.sessions.revoke(signed.current.id, signed.session))
        await outcomes(calls)
        with pytest.raises(Unauthenticated):
            await site.sessions.refresh(visitor)
    assert await site.at.sql("SELECT * FROM auth_refresh_tokens") == []
