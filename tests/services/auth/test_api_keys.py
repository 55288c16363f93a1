"""API keys: what they open, how they end, and what a wrong one costs."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest
from sqlalchemy import text

from runtime.errors import Forbidden, Invalid, NotFound, TooMany, Unreachable
from runtime.http.access import ADMIN, Caller
from runtime.services.auth.api_keys import TRIES_OF_A_KEY
from runtime.services.auth.key_text import KeyText
from runtime.spec.units import Rate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.auth.conftest import Site

    Auths = Callable[..., Awaitable[Site]]

OPERATOR = Caller("key:operator", frozenset({ADMIN}))
WRITER = Caller("user:ada", frozenset({"jobs:write", "keys:write"}))
HERE = "127.0.0.1"


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each comparison with bcrypt."""
    made: list[int] = []
    compare = bcrypt.checkpw

    def counted(*args: Any) -> bool:
        made.append(1)
        return compare(*args)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    return made


async def test_a_key_has_the_scopes_owner_and_rate_that_it_was_given(auths: Auths) -> None:
    auth = await auths()
    made, key = await auth.api_keys.create(OPERATOR, "ci", ["jobs:write"], owner="user:ada", rate="5/m")
    caller = await auth.api_keys.caller(key, HERE)
    assert caller == Caller(f"key:{made.id}", frozenset({"jobs:write"}), "user:ada", Rate(5, 60.0))
    assert (caller.may("jobs:write"), caller.may("jobs:read"), caller.account) == (True, False, "user:ada")


async def test_it_is_hashed_once_and_then_known(auths: Auths, hashes: list[int]) -> None:
    auth = await auths()
    _, key = await auth.api_keys.create(OPERATOR, "ci", ["jobs:write"])
    callers = await asyncio.gather(*[auth.api_keys.caller(key, HERE) for _ in range(40)])
    assert len({caller.id for caller in callers if caller}) == 1
    assert len(hashes) == 1


async def test_nothing_of_the_secret_is_stored(auths: Auths) -> None:
    auth = await auths()
    _, key = await auth.api_keys.create(OPERATOR, "ci", ["jobs:write"])
    parts = KeyText.read(key)
    assert parts is not None
    async with auth._database.reading() as connection:
        stored = str((await connection.execute(text("SELECT * FROM api_keys"))).all())
    assert parts.id in stored
    assert parts.secret not in stored


async def test_a_revoked_key_ends_here_at_once_and_elsewhere_at_the_next_look(auths: Auths) -> None:
    here, there = await auths(), await auths()
    made, key = await here.api_keys.create(OPERATOR, "ci", ["jobs:write"])
    assert await here.api_keys.caller(key, HERE)
    assert await there.api_keys.caller(key, HERE)
    await here.api_keys.revoke(OPERATOR, made.id)
    await here.api_keys.revoke(OPERATOR, made.id)
    assert await here.api_keys.caller(key, HERE) is None
    await there._revocations.look()
    assert await there.api_keys.caller(key, HERE) is None


async def test_a_running_instance_looks_by_itself(auths: Auths) -> None:
    here, there = await auths(), await auths()
    made, key = await here.api_keys.create(OPERATOR, "ci", ["jobs:write"])
    assert await there.api_keys.caller(key, HERE)
    watching = asyncio.create_task(there.watch())
    await here.api_keys.revoke(OPERATOR, made.id)
    async with asyncio.timeout(15):
        while await there.api_keys.caller(key, HERE):
            await asyncio.sleep(0.02)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_key_that_is_revoked_while_it_is_compared_is_not_kept(
    auths: Auths, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = await auths()
    made, key = await auth.api_keys.create(OPERATOR, "ci", ["jobs:write"])
    compare = bcrypt.checkpw
    loop = asyncio.get_running_loop()

    def slow(*args: Any) -> bool:
        asyncio.run_coroutine_threadsafe(auth.api_keys.revoke(OPERATOR, made.id), loop).result(10)
        return compare(*args)

    monkeypatch.setattr(bcrypt, "checkpw", slow)
    await auth.api_keys.caller(key, HERE)
    monkeypatch.undo()
    assert await auth.api_keys.caller(key, HERE) is None


async def test_an_expired_key_is_none_from_memory_too(auths: Auths, monkeypatch: pytest.MonkeyPatch) -> None:
    auth = await auths()
    soon = datetime.now(UTC) + timedelta(hours=1)
    _, key = await auth.api_keys.create(OPERATOR, "ci", ["jobs:write"], expires_at=soon)
    assert await auth.api_keys.caller(key, HERE)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3601)
    assert await auth.api_keys.caller(key, HERE) is None
    assert await auth.api_keys.caller(key, "10.0.0.1") is None


async def test_wrong_keys_are_refused_before_they_are_hashed(auths: Auths, hashes: list[int]) -> None:
    auth = await auths()
    made, key = await auth.api_keys.create(OPERATOR, "ci", ["jobs:write"])
    other = KeyText.new("rt_")
    for wrong in ("", "rt_", key[:-1], key + "a", key.upper(), "é" * 68, "rt_" + "a" * 65, str(other)):
        assert await auth.api_keys.caller(wrong, HERE) is None
    assert hashes == []
    guess = str(KeyText("rt_", made.id, other.secret))
    for _ in range(TRIES_OF_A_KEY.count):
        assert await auth.api_keys.caller(guess, HERE) is None
    with pytest.raises(TooMany):
        await auth.api_keys.caller(guess, HERE)
    assert len(hashes) == TRIES_OF_A_KEY.count
    assert await auth.api_keys.caller(key, "10.0.0.1")  # elsewhere its owner is not held up


async def test_a_prefix_that_was_not_the_keys_own_is_refused(auths: Auths) -> None:
    auth = await auths()
    _, key = await auth.api_keys.create(OPERATOR, "ci", ["jobs:write"])
    assert await auth.api_keys.caller("core_" + key.removeprefix("rt_"), HERE) is None
    renamed = await auths(api_keys={"rounds": 4, "prefix": "core_"})
    assert await renamed.api_keys.caller(key, HERE)  # made before the prefix changed


async def test_nobody_gives_more_than_they_have(auths: Auths) -> None:
    auth = await auths()
    made, _ = await auth.api_keys.create(WRITER, "mine", ["jobs:write"])
    assert made.owner == "user:ada"
    for scopes, owner in ((["jobs:read"], None), ([ADMIN], None), (["jobs:write"], "user:bob")):
        with pytest.raises(Forbidden):
            await auth.api_keys.create(WRITER, "more", scopes, owner=owner)
    with pytest.raises(NotFound):
        await auth.api_keys.revoke(Caller("user:bob"), made.id)
    await auth.api_keys.revoke(WRITER, made.id)


@pytest.mark.parametrize(
    ("scopes", "more"),
    [
        (["jobs"], {}), (["jobs:write "], {}), (["a:b c:d"], {}), (["jobs:write"], {"rate": "often"}),
        (["jobs:write"], {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}),
        (["jobs:write"], {"expires_at": datetime(2099, 1, 1)}),  # noqa: DTZ001
    ],
)  # fmt: skip
async def test_a_wrong_wish_is_refused(auths: Auths, scopes: list[str], more: dict[str, Any]) -> None:
    auth = await auths()
    with pytest.raises(Invalid):
        await auth.api_keys.create(OPERATOR, "x", scopes, **more)


async def test_pages_and_a_found_key(auths: Auths) -> None:
    auth = await auths()
    made = [(await auth.api_keys.create(WRITER, str(number), ["jobs:write"]))[0] for number in range(5)]
    await auth.api_keys.create(OPERATOR, "other", ["jobs:read"])
    first = await auth.api_keys.page(owner="user:ada", most=3)
    rest = await auth.api_keys.page(owner="user:ada", before=first[-1].id, most=3)
    assert {key.id for key in first + rest} == {key.id for key in made}
    assert len(first + rest) == 5
    found = await auth.api_keys.page(owner=None, starts_with=f"rt_{made[2].id[:8]}")
    assert [key.id for key in found] == [made[2].id]
    assert await auth.api_keys.page(owner=None, starts_with="%") == []


async def test_the_last_use_is_noted(auths: Auths) -> None:
    auth = await auths()
    made, key = await auth.api_keys.create(OPERATOR, "ci", ["jobs:write"])
    await auth.api_keys.caller(key, HERE)
    await auth.api_keys.write_use()
    (shown,) = await auth.api_keys.page(owner=None)
    assert shown.used_at is not None
    assert (shown.id, shown.used_at >= made.created_at - timedelta(seconds=1)) == (made.id, True)


async def test_while_the_database_is_away_a_known_key_goes_on_and_not_for_ever(
    auths: Auths, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = await auths()
    _, key = await auth.api_keys.create(OPERATOR, "ci", ["jobs:write"])
    assert await auth.api_keys.caller(key, HERE)

    def away() -> Any:
        raise Unreachable("storage.database", "here", "gone")

    monkeypatch.setattr(auth._database, "reading", away)
    assert await auth.api_keys.caller(key, HERE)
    monkeypatch.setattr(auth._verified, "_fresh", time.monotonic() - 31)
    with pytest.raises(Unreachable):
        await auth.api_keys.caller(key, HERE)


async def test_what_it_may_spend_goes_with_its_caller(auths: Auths) -> None:
    auth = await auths()
    made, key = await auth.api_keys.create(OPERATOR, "ci", ["jobs:write"], credits=Decimal("12.50"))
    caller = await auth.api_keys.caller(key, HERE)
    assert caller is not None
    assert made.credits == caller.credits == Decimal("12.50")
    assert (await auth.api_keys.page(owner=None))[0].credits == Decimal("12.50")


@pytest.mark.parametrize("wrong", ["0", "-1", "NaN", "Infinity", "0.0000000001", "1000000000000"])
async def test_no_other_amount_is_taken(auths: Auths, wrong: str) -> None:
    auth = await auths()
    with pytest.raises(Invalid):
        await auth.api_keys.create(OPERATOR, "ci", ["jobs:write"], credits=Decimal(wrong))


async def test_a_key_sheds_no_limit_by_making_another(auths: Auths) -> None:
    auth = await auths()
    soon, later = (datetime.now(UTC) + timedelta(hours=hours) for hours in (1, 2))
    scopes = ["keys:write"]

    async def maker(**limits: Any) -> Caller:
        _, key = await auth.api_keys.create(OPERATOR, "maker", scopes, **limits)
        caller = await auth.api_keys.caller(key, HERE)
        assert caller is not None
        return caller

    for limits, wanted in (
        ({"credits": Decimal(1)}, {"credits": Decimal(1)}),
        ({"rate": "5/m"}, {}),
        ({"rate": "5/m"}, {"rate": "1/s"}),
        ({"expires_at": soon}, {}),
        ({"expires_at": soon}, {"expires_at": later}),
    ):
        with pytest.raises(Forbidden, match="makes none"):
            await auth.api_keys.create(await maker(**limits), "more", scopes, **wanted)
    fitting = await maker(rate="5/m", expires_at=later)
    assert await auth.api_keys.create(fitting, "less", scopes, rate="300/h", expires_at=soon)
    assert await auth.api_keys.create(await maker(), "equal", scopes)
