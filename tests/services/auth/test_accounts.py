"""Accounts: signing up, codes, passwords, profiles, and by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bcrypt
import pytest

from runtime.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RequestFault,
    TooMany,
    Unauthenticated,
    Unreachable,
)
from runtime.http.access import Caller
from runtime.services.auth.ports import Profile, Signed, Visitor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.auth.conftest import Site

    Sites = Callable[..., Awaitable[Site]]

GOOD, BETTER = "correct horse battery", "staple of the better kind"
HERE = "127.0.0.1"
ADA = "ada@example.com"


async def signed_in(site: Site, password: str = GOOD, email: str = ADA) -> Signed:
    return await site.sessions.sign_in(Visitor(HERE), None, email, password)


async def signed_up(site: Site, email: str = ADA) -> Signed:
    await site.accounts.sign_up(HERE, email, GOOD)
    await site.accounts.verify(HERE, email, await site.code(email))
    return await signed_in(site, email=email)


def as_caller(signed: Signed) -> Caller:
    return Caller(f"user:{signed.current.id}", session=signed.session)


async def test_an_address_is_proven_before_there_is_an_account(auths: Sites) -> None:
    site = await auths()
    await site.accounts.sign_up(HERE, " Ada@Example.com", GOOD)
    assert await site.users.page(before=None, most=9) == []
    with pytest.raises(Unauthenticated):
        await signed_in(site)
    await site.accounts.verify(HERE, ADA, (await site.code(ADA)).lower())
    signed = await signed_in(site)
    assert (signed.current.email, signed.current.scopes) == (ADA, ())
    assert signed.current.verified_at is not None


async def test_a_known_address_is_answered_alike_and_keeps_its_password(auths: Sites) -> None:
    site = await auths()
    await signed_up(site)
    await site.accounts.sign_up(HERE, ADA, BETTER)
    assert "has one already" in (await site.mails())[-1]["text"]
    assert (await site.mails())[-1]["to"] == [ADA]
    assert await signed_in(site)
    with pytest.raises(Unauthenticated):
        await signed_in(site, BETTER)


async def test_closed_and_invite(auths: Sites) -> None:
    closed = await auths(signup="closed")
    with pytest.raises(Forbidden, match="closed"):
        await closed.accounts.sign_up(HERE, ADA, GOOD)
    invite = await auths(signup="invite")
    await invite.accounts.sign_up(HERE, "stranger@example.com", GOOD)
    assert await invite.mails() == []
    await invite.users.add(ADA, None, verified=False, scopes=["jobs:read"])
    with pytest.raises(Unauthenticated):
        await signed_in(invite, "")
    signed = await signed_up(invite)
    assert signed.current.scopes == ("jobs:read",)
    await invite.update({"signup": "closed"})
    with pytest.raises(Forbidden):
        await invite.accounts.sign_up(HERE, "third@example.com", GOOD)


async def test_without_a_channel_for_mail_nobody_signs_up(auths: Sites) -> None:
    site = await auths(mail=None)
    with pytest.raises(Conflict, match="no channel"):
        await site.accounts.sign_up(HERE, ADA, GOOD)
    assert "none" in (await site.health()).details["mail"]


@pytest.mark.parametrize("password", ["short", "x" * 129, "password", "Iloveyou", "ada@example.com"])
async def test_a_bad_password_is_refused(auths: Sites, password: str) -> None:
    site = await auths()
    with pytest.raises(Invalid) as refused:
        await site.accounts.sign_up(HERE, ADA, password)
    assert refused.value.errors[0].pointer == "/password"


@pytest.mark.parametrize(
    "email", ["", "ada", "@example.com", "ada@", "a b@example.com", "a@b@c", "a@b\r\nBcc: x@y", "<a@b>"]
)
async def test_what_is_no_address_is_refused(auths: Sites, email: str) -> None:
    site = await auths()
    with pytest.raises(Invalid):
        await site.accounts.sign_up(HERE, email, GOOD)


async def test_a_code_is_used_once_and_survives_few_tries(auths: Sites) -> None:
    site = await auths()
    await site.accounts.sign_up(HERE, ADA, GOOD)
    code = await site.code(ADA)
    for _ in range(3):
        with pytest.raises(Invalid):
            await site.accounts.verify(HERE, ADA, "22222-22222")
    await site.accounts.verify(HERE, ADA, code)
    with pytest.raises(Invalid):
        await site.accounts.verify(HERE, ADA, code)


async def test_a_stranger_uses_up_their_own_tries_and_not_the_code(auths: Sites) -> None:
    site = await auths()
    await site.accounts.sign_up(HERE, ADA, GOOD)
    for _ in range(5):
        with pytest.raises(Invalid):
            await site.accounts.verify("10.0.0.9", ADA, "22222-22222")
    with pytest.raises(TooMany):
        await site.accounts.verify("10.0.0.9", ADA, await site.code(ADA))
    await site.accounts.verify(HERE, ADA, await site.code(ADA))


async def test_many_strangers_end_a_code_and_another_one_counts_anew(auths: Sites) -> None:
    site = await auths(codes={"attempts": 1})
    await site.accounts.sign_up(HERE, ADA, GOOD)
    for number in range(21):
        with pytest.raises(Invalid):
            await site.accounts.verify(f"10.0.0.{number}", ADA, "22222-22222")
    with pytest.raises(Invalid):
        await site.accounts.verify(HERE, ADA, await site.code(ADA))
    await site.accounts.sign_up(HERE, ADA, GOOD)
    await site.accounts.verify(HERE, ADA, await site.code(ADA))


async def test_a_code_lasts_as_long_as_the_spec_says(auths: Sites) -> None:
    """Seconds are not taken for milliseconds, nor the other way round."""
    site = await auths(codes={"ttl": "1ms"})
    await site.accounts.sign_up(HERE, ADA, GOOD)
    with pytest.raises(Invalid):
        await site.accounts.verify(HERE, ADA, await site.code(ADA))
    usual = await auths()
    await usual.accounts.sign_up(HERE, ADA, GOOD)
    assert "15 minutes" in (await usual.mails())[-1]["text"]
    await usual.accounts.verify(HERE, ADA, await usual.code(ADA))


async def test_a_second_reset_gets_a_second_mail_and_only_the_last_code_counts(auths: Sites) -> None:
    site = await auths()
    old = await signed_up(site)
    await site.accounts.ask_reset(HERE, ADA)
    first = await site.code(ADA)
    await site.accounts.ask_reset(HERE, ADA)
    second = await site.code(ADA)
    assert first != second
    with pytest.raises(Invalid):
        await site.accounts.reset(HERE, ADA, first, BETTER)
    await site.accounts.reset(HERE, ADA, second, BETTER)
    assert await site.caller(old.access, HERE) is None  # a reset ends every session
    with pytest.raises(Unauthenticated):
        await signed_in(site, GOOD)
    assert await signed_in(site, BETTER)
    assert "was changed" in (await site.mails())[-1]["text"]


async def test_asking_for_an_unknown_address_looks_the_same_and_mails_nothing(auths: Sites) -> None:
    site = await auths()
    await site.accounts.ask_reset(HERE, "nobody@example.com")
    assert await site.mails() == []
    with pytest.raises(Invalid):
        await site.accounts.reset(HERE, "nobody@example.com", "22222-22222", BETTER)


async def test_codes_are_limited(auths: Sites) -> None:
    site = await auths()
    for _ in range(5):
        await site.accounts.ask_reset(HERE, ADA)
    with pytest.raises(TooMany):
        await site.accounts.ask_reset(HERE, ADA)
    await site.accounts.ask_reset("10.0.0.9", ADA)  # a stranger does not keep the owner from asking


async def test_a_code_for_one_thing_is_none_for_another(auths: Sites) -> None:
    site = await auths()
    await signed_up(site)
    await site.accounts.ask_reset(HERE, ADA)
    code = await site.code(ADA)
    with pytest.raises(Invalid):
        await site.accounts.verify(HERE, ADA, code)
    with pytest.raises(Invalid):
        await site.accounts.reset(HERE, "bob@example.com", code, BETTER)


async def test_a_change_of_password_ends_the_other_sessions(auths: Sites) -> None:
    site = await auths()
    here, there = await signed_up(site), await signed_in(site)
    caller = as_caller(here)
    with pytest.raises(Invalid, match="present password"):
        await site.accounts.change_password(caller, HERE, "wrong", BETTER)
    await site.accounts.change_password(caller, HERE, GOOD, BETTER)
    assert await site.caller(here.access, HERE)
    assert await site.caller(there.access, HERE) is None
    assert await signed_in(site, BETTER)


async def test_profiles(auths: Sites) -> None:
    site = await auths()
    id_ = (await signed_up(site)).current.id
    wanted: dict[str, Any] = {"name": "Ada", "time_zone": "Europe/London", "languages": ["en-GB", "fr"]}
    user = await site.profiles.change(id_, HERE, Profile(emails=["Second@example.com", ADA], **wanted))
    assert (user.name, user.time_zone, user.languages) == ("Ada", "Europe/London", ("en-GB", "fr"))
    assert await site.profiles.emails(id_) == {"second@example.com": None}
    await site.accounts.verify(HERE, "second@example.com", await site.code("second@example.com"))
    assert (await site.profiles.emails(id_))["second@example.com"] is not None
    sent = len(await site.mails())
    await site.profiles.change(id_, HERE, Profile(emails=["second@example.com"], **wanted))
    assert len(await site.mails()) == sent  # known already
    await site.profiles.change(id_, HERE, Profile(**wanted))
    assert await site.profiles.emails(id_) == {}
    for wrong in ({"time_zone": "Mars/Olympus"}, {"time_zone": "../etc/passwd"}, {"languages": ["e"]}):
        with pytest.raises(Invalid):
            await site.profiles.change(id_, HERE, Profile(**{**wanted, **wrong}))


async def test_by_hand(auths: Sites) -> None:
    site = await auths()
    made = await site.users.add(ADA, GOOD, verified=True, scopes=["jobs:read"])
    with pytest.raises(Conflict):
        await site.users.add("ADA@example.com", GOOD, verified=True, scopes=())
    with pytest.raises(Invalid):
        await site.users.add("x@example.com", None, verified=True, scopes=["x"])
    for number in range(3):
        await site.users.add(f"{number}@example.com", None, verified=False, scopes=())
    first = await site.users.page(before=None, most=2)
    rest = await site.users.page(before=first[-1].id, most=9)
    assert len({user.id for user in first + rest}) == 4
    assert rest[-1].id == made.id


async def test_a_removed_account_is_gone_with_its_sessions_and_keys(auths: Sites) -> None:
    site, other = await auths(), await auths()
    signed = await signed_up(site)
    writer = Caller(f"user:{signed.current.id}", frozenset({"jobs:write"}))
    _, key = await site.api_keys.create(writer, "mine", ["jobs:write"])
    assert await other.caller(key, HERE)
    assert await other.caller(signed.access, HERE)
    await site.users.remove(signed.current.id)
    await other._revocations.look()
    assert await other.caller(key, HERE) is None
    assert await other.caller(signed.access, HERE) is None
    with pytest.raises(Unauthenticated):
        await signed_in(site)
    with pytest.raises(NotFound):
        await site.users.remove(signed.current.id)


# Phones


PHONE = "+431234567"


async def test_a_phone_is_proven_by_a_text_message(auths: Sites) -> None:
    site = await auths(texts="q")
    id_ = (await signed_up(site)).current.id
    await site.profiles.change(id_, HERE, Profile(phones=["+43 (1) 234-567"]))
    assert await site.profiles.phones(id_) == {PHONE: None}
    with pytest.raises(Invalid):
        await site.profiles.verify_phone(id_, HERE, PHONE, "22222-22222")
    code = await site.code(PHONE)
    await site.profiles.verify_phone(id_, HERE, "+43 1 234567", code.lower())
    assert (await site.profiles.phones(id_))[PHONE] is not None
    with pytest.raises(Invalid):
        await site.profiles.verify_phone(id_, HERE, PHONE, code)
    await site.profiles.change(id_, HERE, Profile())
    assert await site.profiles.phones(id_) == {}


async def test_a_phone_of_two_accounts_has_a_code_for_each(auths: Sites) -> None:
    site = await auths(texts="q")
    ada = (await signed_up(site)).current.id
    bob = (await signed_up(site, "bob@example.com")).current.id
    await site.profiles.change(ada, HERE, Profile(phones=[PHONE]))
    code = await site.code(PHONE)
    await site.profiles.change(bob, HERE, Profile(phones=[PHONE]))
    with pytest.raises(Invalid):
        await site.profiles.verify_phone(bob, HERE, PHONE, code)
    await site.profiles.verify_phone(ada, HERE, PHONE, code)
    assert await site.profiles.phones(bob) == {PHONE: None}


async def test_without_text_messages_a_phone_is_not_available_and_nothing_changes(auths: Sites) -> None:
    site = await auths()
    id_ = (await signed_up(site)).current.id
    with pytest.raises(Conflict, match="not available"):
        await site.profiles.change(id_, HERE, Profile(name="Ada", phones=[PHONE]))
    assert (await site.profiles.user(id_)).name is None


@pytest.mark.parametrize("phone", ["", "1234567", "+0123456789", "+12345", "+4312345678901234", "+43x1234567"])
async def test_what_is_no_phone_is_refused(auths: Sites, phone: str) -> None:
    site = await auths(texts="q")
    id_ = (await signed_up(site)).current.id
    with pytest.raises(Invalid) as refused:
        await site.profiles.change(id_, HERE, Profile(phones=[phone]))
    assert refused.value.errors[0].pointer == "/phones/0"


# Invitations


async def test_an_invitation_is_mailed_and_its_code_chooses_the_password(auths: Sites) -> None:
    site = await auths(signup="closed")
    made = await site.users.add(ADA, None, verified=False, scopes=["jobs:read"])
    assert "good for 7 days" in (await site.mails())[-1]["text"]
    first = await site.code(ADA)
    await site.users.invite(made.id)
    with pytest.raises(Invalid):
        await site.accounts.reset(HERE, ADA, first, GOOD)
    await site.accounts.reset(HERE, ADA, await site.code(ADA), GOOD)
    signed = await signed_in(site)
    assert (signed.current.id, signed.current.scopes) == (made.id, ("jobs:read",))
    assert signed.current.verified_at is not None
    with pytest.raises(Conflict, match="password already"):
        await site.users.invite(made.id)
    with pytest.raises(NotFound):
        await site.users.invite("nobody")


async def test_without_mail_an_invitation_is_made_and_not_sent(auths: Sites) -> None:
    site = await auths(mail=None)
    made = await site.users.add(ADA, None, verified=False, scopes=())
    assert await site.mails() == []
    with pytest.raises(Conflict, match="no channel"):
        await site.users.invite(made.id)


# Enumeration


@pytest.mark.parametrize("signup", ["open", "invite"])
async def test_a_known_address_is_told_from_an_unknown_one_by_no_answer_and_no_work(
    auths: Sites, monkeypatch: pytest.MonkeyPatch, signup: str
) -> None:
    """The slow part of each call is the hash: as many, at the same cost, for either. What is mailed, goes to the
    address alone, from the outbox: no answer waits for it."""
    site = await auths(signup="open")
    await signed_up(site)
    site.accounts.signup = signup  # type: ignore[assignment]
    hashes: list[str] = []
    for name in ("hashpw", "checkpw"):
        made = getattr(bcrypt, name)

        def noted(password: bytes, kept: bytes, made: Any = made, name: str = name) -> Any:
            hashes.append(f"{name} {kept[:7].decode()}")
            return made(password, kept)

        monkeypatch.setattr(bcrypt, name, noted)

    async def seen(email: str) -> list[object]:
        calls: list[Awaitable[object]] = [
            site.accounts.sign_up(HERE, email, BETTER),
            site.accounts.ask_reset(HERE, email),
            site.accounts.reset(HERE, email, "22222-22222", BETTER),
            site.accounts.verify(HERE, email, "22222-22222"),
            signed_in(site, "wrong horse", email),
        ]
        noticed: list[object] = []
        for call in calls:
            hashes.clear()
            try:
                noticed.append(await call)
            except RequestFault as fault:
                noticed.append((type(fault), fault.message, fault.remedy))
            noticed.append(tuple(hashes))
        return noticed

    assert await seen(ADA) == await seen("nobody@example.com")


# Faults


async def test_with_the_database_away_nothing_is_guessed(auths: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    site = await auths()
    signed = await signed_up(site)
    visitor = Visitor(HERE, refresh=signed.refresh)

    def away() -> Any:
        raise Unreachable("storage.database", "here", "gone")

    with monkeypatch.context() as gone:
        gone.setattr(site.at.database, "reading", away)
        gone.setattr(site.at.database, "transaction", away)
        for call in (
            signed_in(site),
            site.sessions.refresh(visitor),
            site.profiles.user(signed.current.id),
            site.accounts.sign_up(HERE, "new@example.com", GOOD),
            site.accounts.ask_reset(HERE, ADA),
        ):
            with pytest.raises(Unreachable):
                await call
    assert (await site.sessions.refresh(visitor)).refresh  # the token has not been used up
