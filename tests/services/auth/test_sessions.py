"""Sessions: several accounts in one, refresh tokens that rotate, devices, lockout."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Conflict, NotFound, TooMany, Unauthenticated
from runtime.services.auth.ports import Signed, Visitor
from runtime.services.auth.store import sessions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.auth.conftest import Site

    Sites = Callable[..., Awaitable[Site]]

GOOD = "correct horse battery"
HERE = Visitor("127.0.0.1", "Firefox")
ELSEWHERE = Visitor("10.0.0.9", "Chrome")


@pytest.fixture
async def site(auths: Sites) -> Site:
    site = await auths()
    for name in ("ada", "bob"):
        await site.users.add(f"{name}@example.com", GOOD, verified=True, scopes=())
    return site


async def ada(site: Site, visitor: Visitor = HERE, session: str | None = None, password: str = GOOD) -> Signed:
    return await site.sessions.sign_in(visitor, session, "ada@example.com", password)


async def bob(site: Site, session: str | None = None) -> Signed:
    return await site.sessions.sign_in(HERE, session, "bob@example.com", GOOD)


def having(signed: Signed, visitor: Visitor = HERE) -> Visitor:
    return replace(visitor, refresh=signed.refresh)


async def who(site: Site, signed: Signed) -> str | None:
    caller = await site.caller(signed.access, "127.0.0.1")
    return caller.id if caller else None


# Signing in


async def test_who_signs_in_may_look_after_themselves_and_nothing_else(site: Site) -> None:
    signed = await ada(site)
    caller = await site.caller(signed.access, "127.0.0.1")
    assert caller is not None
    assert (caller.id, caller.session) == (f"user:{signed.current.id}", signed.session)
    assert caller.may("account:write")
    assert not caller.may("runtime:admin")
    assert not caller.may("jobs:write")


async def test_a_wrong_password_and_a_wrong_address_are_told_alike(site: Site) -> None:
    said = []
    for email in ("ada@example.com", "nobody@example.com"):
        with pytest.raises(Unauthenticated) as refused:
            await site.sessions.sign_in(HERE, None, email, "wrong horse")
        said.append(str(refused.value))
    assert said[0] == said[1]


async def test_an_unknown_account_is_compared_as_well(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import bcrypt

    seen: list[bytes] = []
    compare = bcrypt.checkpw

    def noted(password: bytes, kept: bytes) -> bool:
        seen.append(kept[:7])
        return compare(password, kept)

    monkeypatch.setattr(bcrypt, "checkpw", noted)
    for email in ("ada@example.com", "nobody@example.com"):
        with pytest.raises(Unauthenticated):
            await site.sessions.sign_in(HERE, None, email, "wrong horse")
    assert seen == [b"$2b$04$"] * 2  # the same cost


async def test_a_long_password_is_read_to_its_end(site: Site) -> None:
    long = "é" * 60
    await site.users.add("long@example.com", long + "a", verified=True, scopes=())
    with pytest.raises(Unauthenticated):
        await site.sessions.sign_in(HERE, None, "long@example.com", long + "b")
    assert await site.sessions.sign_in(HERE, None, "long@example.com", "e\u0301" * 60 + "a")  # another spelling


async def test_a_hash_of_another_cost_or_method_is_replaced_at_the_next_sign_in(site: Site, auths: Sites) -> None:
    async def kept() -> str:
        (row,) = await site.at.sql("SELECT password FROM users WHERE email = 'ada@example.com'")
        return str(row.password)

    assert "$2b$04$" in await kept()
    argon2: dict[str, Any] = {"hash": "argon2id", "argon2": {"memory": "8MiB", "passes": 1}}
    for passwords, mark in (({"rounds": 5}, "$2b$05$"), (argon2, "$argon2id$"), ({"rounds": 4}, "$2b$04$")):
        await ada(await auths(passwords=passwords))
        assert mark in await kept()


# Lockout


async def test_a_stranger_locks_out_nobody_but_themselves(site: Site) -> None:
    mine = await ada(site)
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await ada(site, ELSEWHERE, password="wrong")
    with pytest.raises(TooMany) as refused:
        await ada(site, ELSEWHERE)
    assert 0 < refused.value.retry_after <= 900
    assert await ada(site)  # from another address
    assert await ada(site, replace(ELSEWHERE, device=mine.device))  # from her own device, at the stranger's address


async def test_a_lock_clears_itself_and_the_next_is_longer(auths: Sites) -> None:
    site = await auths(passwords={"rounds": 4, "lockout": {"attempts": 2, "window": "50ms"}})
    await site.users.add("ada@example.com", GOOD, verified=True, scopes=())
    waits: list[float] = []
    async with asyncio.timeout(20):
        while len(waits) < 3:
            try:
                await ada(site, password="wrong")
            except Unauthenticated:
                continue
            except TooMany as refused:
                waits.append(refused.retry_after)
                await asyncio.sleep(refused.retry_after + 0.01)
    assert waits == sorted(waits)
    assert waits[2] > 1.5 * waits[0]
    assert await ada(site)


async def test_many_at_once_are_counted_before_they_are_compared(site: Site) -> None:
    tries = [ada(site, ELSEWHERE, password="wrong") for _ in range(40)]
    outcomes = [type(outcome) for outcome in await asyncio.gather(*tries, return_exceptions=True)]
    assert (outcomes.count(Unauthenticated), outcomes.count(TooMany)) == (5, 35)


async def test_guessing_at_many_accounts_is_limited_by_address(site: Site) -> None:
    for number in range(50):
        with pytest.raises(Unauthenticated):
            await site.sessions.sign_in(ELSEWHERE, None, f"{number}@example.com", "wrong")
    with pytest.raises(TooMany):
        await site.sessions.sign_in(ELSEWHERE, None, "another@example.com", "wrong")
    assert await ada(site)


# Several accounts


async def test_a_session_has_several_accounts_and_one_current(site: Site) -> None:
    one = await ada(site)
    both = await bob(site, one.session)
    assert [user.email for user in both.users] == ["ada@example.com", "bob@example.com"]
    assert both.current.email == "bob@example.com"
    back = await site.sessions.switch(both.session, one.current.id)
    assert await who(site, back) == f"user:{one.current.id}"
    assert await who(site, both) == f"user:{both.current.id}"  # still signed in
    with pytest.raises(NotFound):
        await site.sessions.switch(both.session, "another")
    assert await who(site, one) is None  # a sign-in begins a new session: who knew the old one has nothing


async def test_signing_one_out_leaves_the_other(site: Site) -> None:
    one = await ada(site)
    both = await bob(site, one.session)
    left = await site.sessions.sign_out(both.session, both.current.id)
    assert left is not None
    assert [user.email for user in left.users] == ["ada@example.com"]
    assert await who(site, both) is None
    assert await who(site, left) == f"user:{one.current.id}"
    assert await site.sessions.sign_out(left.session, None) is None
    assert await who(site, left) is None
    with pytest.raises(Unauthenticated):
        await site.sessions.refresh(having(both))


async def test_a_session_holds_so_many_accounts_and_no_more(auths: Sites) -> None:
    site = await auths(sessions={"max_users": 1})
    for name in ("ada", "bob"):
        await site.users.add(f"{name}@example.com", GOOD, verified=True, scopes=())
    one = await ada(site)
    with pytest.raises(Conflict):
        await bob(site, one.session)
    assert await who(site, one)
    assert await ada(site, session=one.session)  # the same again is none more


# Refreshing


async def test_each_use_gives_another_token_and_parallel_tabs_the_same(site: Site, auths: Sites) -> None:
    first, other = await ada(site), await auths()
    answers = await asyncio.gather(*[each.sessions.refresh(having(first)) for each in (site, other) * 20])
    children = {answer.refresh for answer in answers}
    assert len(children) == 1
    assert children != {first.refresh}
    assert await who(site, answers[0])
    assert len(await site.sessions.devices(first.current.id)) == 1


async def test_a_stolen_token_used_later_ends_the_session_and_is_told(site: Site, auths: Sites) -> None:
    first, other = await ada(site), await auths()
    second = await site.sessions.refresh(having(first))
    third = await site.sessions.refresh(having(second))
    assert await who(other, third)
    with pytest.raises(Unauthenticated, match="used twice"):
        await site.sessions.refresh(having(first, ELSEWHERE))
    assert await who(site, third) is None
    await other._revocations.look()
    assert await who(other, third) is None
    with pytest.raises(Unauthenticated):
        await site.sessions.refresh(having(third))
    assert await site.told() == [{"session": first.session, "user": first.current.id, "reason": "stolen"}]


async def test_the_parent_is_good_for_the_grace_and_no_longer(site: Site, auths: Sites) -> None:
    first = await ada(site)
    second = await site.sessions.refresh(having(first))
    long_ago = datetime.now(UTC) - timedelta(seconds=31)
    for row in await site.at.sql("SELECT digest FROM auth_refresh_tokens WHERE replaced_at IS NOT NULL"):
        await site.at.sql(
            "UPDATE auth_refresh_tokens SET replaced_at = :at WHERE digest = :digest",
            at=long_ago if "postgresql" in site.at.database.address else long_ago.strftime("%Y-%m-%d %H:%M:%S.%f"),
            digest=row.digest,
        )
    with pytest.raises(Unauthenticated, match="used twice"):
        await site.sessions.refresh(having(first))
    with pytest.raises(Unauthenticated):
        await site.sessions.refresh(having(second))


async def test_what_a_tab_waits_for_the_database_does_not_count_against_the_grace(
    site: Site, auths: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, busy = await ada(site), await auths(jwt={"reuse_grace": "0s"})
    waits, free = asyncio.Event(), asyncio.Event()
    find = sessions.token

    async def later(connection: Any, hashed: str) -> Any:
        waits.set()
        await free.wait()
        return await find(connection, hashed)

    monkeypatch.setattr(sessions, "token", later)
    tab = asyncio.create_task(busy.sessions.refresh(having(first)))
    await waits.wait()
    monkeypatch.setattr(sessions, "token", find)
    second = await site.sessions.refresh(having(first))
    free.set()
    assert (await tab).refresh == second.refresh
    assert await who(site, second)


async def test_without_a_grace_the_first_use_is_the_only_one(auths: Sites) -> None:
    site = await auths(jwt={"reuse_grace": "0s"})
    await site.users.add("ada@example.com", GOOD, verified=True, scopes=())
    first = await ada(site)
    assert await site.sessions.refresh(having(first))
    with pytest.raises(Unauthenticated, match="used twice"):
        await site.sessions.refresh(having(first))


@pytest.mark.parametrize("wrong", [None, "", "x", "é" * 40, "a" * 10_000, "\x00"])
async def test_a_made_up_token_is_refused_and_ends_nothing(site: Site, wrong: str | None) -> None:
    signed = await ada(site)
    with pytest.raises(Unauthenticated):
        await site.sessions.refresh(replace(HERE, refresh=wrong))
    assert await who(site, signed)


async def test_no_token_is_stored(site: Site) -> None:
    first = await ada(site)
    second = await site.sessions.refresh(having(first))
    stored = str([await site.at.sql(f"SELECT * FROM {table}") for table in ("auth_refresh_tokens", "user_devices")])
    for secret in (first.refresh, second.refresh, first.device):
        assert secret is not None
        assert secret not in stored


async def test_a_session_ends_after_its_time_however_often_it_is_refreshed(auths: Sites) -> None:
    site = await auths(jwt={"refresh_ttl": "150ms"})
    await site.users.add("ada@example.com", GOOD, verified=True, scopes=())
    signed = await ada(site)
    async with asyncio.timeout(10):
        while True:
            try:
                signed = await site.sessions.refresh(having(signed))
            except Unauthenticated:
                break
    assert await who(site, signed) is None
    await site.sessions.prune()
    assert await site.at.sql("SELECT id FROM auth_sessions") == []


# Devices


async def test_devices_are_seen_and_revoked_everywhere(site: Site, auths: Sites) -> None:
    here, there = await ada(site), await ada(site, ELSEWHERE)
    other = await auths()
    assert await who(other, there)
    devices = {device.session: device for device in await site.sessions.devices(here.current.id)}
    assert {device.agent for device in devices.values()} == {"Firefox", "Chrome"}
    assert devices[there.session].first_address == "10.0.0.9"
    await site.sessions.revoke(here.current.id, there.session)
    await other._revocations.look()
    assert await who(other, there) is None
    assert await who(other, here)
    with pytest.raises(NotFound):
        await site.sessions.revoke(here.current.id, there.session)
    assert [event["reason"] for event in await site.told()] == ["owner"]


async def test_a_device_with_two_accounts_loses_only_the_one(site: Site) -> None:
    one = await ada(site)
    both = await bob(site, one.session)
    await site.sessions.revoke(one.current.id, both.session)
    assert await who(site, both)
    with pytest.raises(NotFound):
        await site.sessions.revoke(one.current.id, (await bob(site)).session)  # another's


async def test_revoking_others_keeps_this_one(site: Site) -> None:
    here, there, third = await ada(site), await ada(site, ELSEWHERE), await ada(site)
    assert await site.sessions.revoke_others(here.current.id, here.session) == 2
    assert [await who(site, each) for each in (there, third)] == [None, None]
    assert await who(site, here)


async def test_tokens_of_a_compromised_signing_key_end_at_once(site: Site) -> None:
    signed = await ada(site)
    assert await who(site, signed)
    await site.rotate(compromised=True)
    assert await who(site, signed) is None
    assert await who(site, await site.sessions.refresh(having(signed)))


async def test_who_watches_is_told_of_the_end(site: Site, auths: Sites) -> None:
    here, there, other = await ada(site), await ada(site, ELSEWHERE), await auths()
    callers = [await other.caller(signed.access, "127.0.0.1") for signed in (here, there)]
    assert callers[0] is not None
    assert callers[1] is not None
    with other.watched(callers[0]) as mine, other.watched(callers[1]) as ended:
        await site.sessions.revoke(here.current.id, there.session)
        await other._revocations.look()
        assert (mine.is_set(), ended.is_set()) == (False, True)
    assert other._verified._watched == {}
