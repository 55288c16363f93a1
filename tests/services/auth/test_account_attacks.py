"""What somebody may try with codes, addresses, passwords and cookies that are not, or no longer, good."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Forbidden, Invalid, TooMany, Unauthenticated
from runtime.http.access import Caller
from runtime.services.auth.contacts import normal_email
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


async def with_ada(auths: Sites, **section: Any) -> Site:
    site = await auths(**section)
    await site.users.add(ADA, GOOD, verified=True, scopes=())
    return site


# Codes that are over


async def test_a_change_of_password_ends_the_reset_that_was_asked_for(auths: Sites) -> None:
    site = await with_ada(auths)
    signed = await signed_in(site)
    await site.accounts.ask_reset(HERE, ADA)
    code = await site.code(ADA)
    caller = Caller(f"user:{signed.current.id}", session=signed.session)
    await site.accounts.change_password(caller, HERE, GOOD, BETTER)
    with pytest.raises(Invalid):
        await site.accounts.reset(HERE, ADA, code, "of the thief's own")
    assert await signed_in(site, BETTER)


async def test_an_invitation_that_was_taken_ends_a_reset_and_the_other_way_round(auths: Sites) -> None:
    site = await auths()
    made = await site.users.add(ADA, None, verified=False, scopes=())
    invitation = await site.code(ADA)
    await site.accounts.ask_reset(HERE, ADA)
    await site.accounts.reset(HERE, ADA, await site.code(ADA), GOOD)
    with pytest.raises(Invalid):
        await site.accounts.reset(HERE, ADA, invitation, BETTER)
    assert (await signed_in(site)).current.id == made.id


async def test_a_sign_up_ends_the_invitation_that_it_took(auths: Sites) -> None:
    site = await auths()
    await site.users.add(ADA, None, verified=False, scopes=())
    invitation = await site.code(ADA)
    await site.accounts.sign_up(HERE, ADA, GOOD)
    await site.accounts.verify(HERE, ADA, await site.code(ADA))
    with pytest.raises(Invalid):
        await site.accounts.reset(HERE, ADA, invitation, BETTER)
    assert await signed_in(site)


async def test_a_removed_account_leaves_no_code_that_brings_anything_back(auths: Sites) -> None:
    site = await with_ada(auths)
    (ada,) = await site.users.page(before=None, most=9)
    await site.accounts.ask_reset(HERE, ADA)
    code = await site.code(ADA)
    await site.users.remove(ada.id)
    with pytest.raises(Invalid):
        await site.accounts.reset(HERE, ADA, code, BETTER)
    assert await site.users.page(before=None, most=9) == []


async def test_a_further_address_gives_no_way_into_the_account(auths: Sites) -> None:
    site = await with_ada(auths)
    id_ = (await signed_in(site)).current.id
    await site.profiles.change(id_, HERE, Profile(emails=["second@example.com"]))
    await site.accounts.verify(HERE, "second@example.com", await site.code("second@example.com"))
    sent = len(await site.mails())
    await site.accounts.ask_reset(HERE, "second@example.com")
    assert len(await site.mails()) == sent
    with pytest.raises(Unauthenticated):
        await signed_in(site, email="second@example.com")


async def test_an_address_that_was_taken_out_again_is_not_verified_by_its_code(auths: Sites) -> None:
    site = await with_ada(auths)
    id_ = (await signed_in(site)).current.id
    await site.profiles.change(id_, HERE, Profile(emails=["second@example.com"]))
    code = await site.code("second@example.com")
    await site.profiles.change(id_, HERE, Profile())
    await site.accounts.verify(HERE, "second@example.com", code)
    assert await site.profiles.emails(id_) == {}


# Lockout


async def test_a_reset_lets_in_whoever_had_tried_too_often(auths: Sites) -> None:
    site = await with_ada(auths)
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await signed_in(site, "forgotten")
    with pytest.raises(TooMany):
        await signed_in(site)
    await site.accounts.ask_reset(HERE, ADA)
    await site.accounts.reset(HERE, ADA, await site.code(ADA), BETTER)
    assert await signed_in(site, BETTER)


# Texts


@pytest.mark.parametrize(
    "password",
    ["\x00" * 8, "a\x00bcdefgh", "x" * 71 + "ä", "\U0001f511" * 100, "\ud800 half a letter"],
    ids=["zeros", "a zero within", "73 bytes", "400 bytes", "no Unicode"],
)
async def test_a_password_is_read_whole_whatever_is_in_it(auths: Sites, password: str) -> None:
    site = await auths()
    await site.users.add(ADA, password, verified=True, scopes=())
    assert await signed_in(site, password)
    for other in (password[:-1], password + "x", password.replace("\x00", "")):
        if other != password:
            with pytest.raises(Unauthenticated):
                await signed_in(site, other)


async def test_an_address_has_one_spelling(auths: Sites) -> None:
    site = await auths()
    composed = "zoë@example.com"
    made = await site.users.add(unicodedata.normalize("NFD", composed), GOOD, verified=True, scopes=())
    assert made.email == composed == normal_email(unicodedata.normalize("NFD", composed).upper())
    assert await signed_in(site, email=composed)


@pytest.mark.parametrize("character", ["\u200b", "\u202e", "\ufeff", "\u00ad", "\x7f", "\x85", "\ud800", "\ue000"])
def test_an_address_has_no_character_that_cannot_be_seen(character: str) -> None:
    with pytest.raises(Invalid):
        normal_email(f"ada{character}@example.com")


@pytest.mark.parametrize("name", ["\x00", "A\x00da"])
async def test_a_zero_in_a_text_is_refused_or_kept_and_breaks_nothing(auths: Sites, name: str) -> None:
    site = await with_ada(auths)
    id_ = (await signed_in(site)).current.id
    if "sqlite" in site.at.database.address:
        assert (await site.profiles.change(id_, HERE, Profile(name=name))).name == name
    else:
        with pytest.raises(Invalid, match="NUL"):
            await site.profiles.change(id_, HERE, Profile(name=name))
        assert (await site.profiles.user(id_)).name is None


# Cookies


def opening(signed: Signed, **headers: str) -> Any:
    """The opening of a WebSocket by a browser that has a session."""
    cookies = f"__Host-access={signed.access}; __Host-refresh={signed.refresh}"
    sent = {"host": "core.example.com", "cookie": cookies, **headers}
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()]
    return {"type": "websocket", "path": "/v1/live", "headers": raw, "client": (HERE, 1), "state": {}}


async def test_cookies_open_no_websocket_for_the_pages_of_others(auths: Sites) -> None:
    """Where the spec lets pages of all origins connect, it lets them with keys, not as whoever is signed in here."""
    site = await with_ada(auths)
    signed = await signed_in(site)
    own = await site.browsers.caller(opening(signed, origin="https://core.example.com"))
    assert own is not None
    assert own.id == f"user:{signed.current.id}"
    for headers in ({"origin": "https://evil.example.com"}, {"origin": "null"}, {"sec_fetch_site": "same-site"}):
        with pytest.raises(Forbidden):
            await site.browsers.caller(opening(signed, **headers))


# Sign-up


async def test_who_may_sign_up_is_told(auths: Sites) -> None:
    site = await auths(signup="invite")
    offered: list[str] = [site.accounts.offered]
    await site.update({"signup": "closed"})
    unmailed = await auths(signup="open", mail=None)
    assert [*offered, site.accounts.offered, unmailed.accounts.offered] == ["invite", "closed", "closed"]
