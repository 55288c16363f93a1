"""Accounts on the page: signing up and in, several at once, devices, and the end of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.dashboard.chromium import PLAIN, until
from tests.dashboard.conftest import PASSWORD, sign_in

if TYPE_CHECKING:
    from tests.dashboard.chromium import Page
    from tests.dashboard.conftest import Site


def test_somebody_new_signs_up_with_the_code_of_a_mail(site: Site) -> None:
    with site.visit() as page:
        page.get("link", "Create an account").click()
        page.get("heading", "Create an account")
        page.fill("E-mail", "new@example.com")
        page.fill("Password", "short")
        page.press("Enter")
        until(
            lambda: "8 to 128 characters" in page.get("textbox", "Password").description, "the field says what is wrong"
        )
        assert page.get("textbox", "Password").properties["invalid"] == "true"
        page.fill("Password", PASSWORD)
        page.press("Enter")
        page.fill("Code", "WRONG-CODES")
        page.press("Enter")
        until(lambda: "Not the one" in page.get("textbox", "Code").description, "the field says what is wrong")
        page.fill("Code", site.code("new@example.com"))
        page.get("button", "Confirm").click()
        page.get("button", "Accounts: new@example.com")
        page.reads("Nothing here yet")
        mine = "fetch('/v1/profile').then((answer) => answer.json())"
        until(lambda: page.evaluate(mine)["time_zone"], "the profile has the browser's clock")
        profile = page.evaluate(mine)
        assert (profile["time_zone"], profile["languages"]) == ("Europe/Vienna", ["en-US"])


def test_a_forgotten_password(site: Site) -> None:
    address = site.user("dora")
    with site.visit() as page:
        page.get("link", "I forgot my password").click()
        page.fill("E-mail", address)
        page.get("button", "Send a code").click()
        page.fill("Code", site.code(address))
        page.fill("New password", "another bicycle, of 8 wheels")
        page.press("Enter")
        page.get("button", f"Accounts: {address}")


def test_two_browsers_two_accounts_and_one_is_thrown_out(site: Site) -> None:
    ada, bob = site.user("ada"), site.user("bob")
    with site.visit(ada) as here, site.visit(ada) as there:
        _add(here, bob)
        here.get("button", f"Accounts: {bob}").click()
        here.get("button", bob)
        here.get("button", f"Switch to {ada}").click()
        here.get("button", f"Accounts: {ada}")
        here.get("link", "Devices").click()
        here.reads("This device")
        here.get("button", "Sign out Chrome on Linux").click()
        there.reads("You were signed out of this browser.")
        there.get("heading", "Sign in")
        until(lambda: not here.find("button", "Sign out Chrome on Linux"), "the list has one device left")

        here.get("button", f"Accounts: {ada}").click()
        here.get("button", f"Sign out of {ada}").click()
        here.get("button", f"Accounts: {bob}").click()
        here.get("button", "Sign out").click()
        here.get("heading", "Sign in")
        kept = {each["name"] for each in here.send("Network.getCookies")["cookies"]}
        assert kept == {"__Host-device"}


def test_a_session_that_loses_one_account_goes_on_with_the_other(site: Site) -> None:
    eve, fred = site.user("eve"), site.user("fred")
    with site.visit(fred) as here, site.visit(eve) as there:
        _add(here, eve)
        there.get("link", "Devices").click()
        there.get("button", "Sign out all others").click()
        here.reads(f"{eve} was signed out of this browser; now it is {fred}.")
        here.get("button", f"Accounts: {fred}").click()
        assert not here.find("button", f"Switch to {eve}")


def test_all_tabs_are_one_account(site: Site) -> None:
    gina, hugo = site.user("gina"), site.user("hugo")
    with site.visit(gina) as one:
        other = site.browser.page(one.context)
        other.open(f"{site.at.url}/#/settings")
        other.get("button", f"Accounts: {gina}")
        one.front()
        _add(one, hugo)
        other.reads(hugo)  # nobody looks at it
        other.front()
        other.get("button", f"Accounts: {hugo}").click()
        other.get("button", "Sign out of all accounts").click()
        other.get("heading", "Sign in")
        one.reads("I forgot my password")
        assert other.complaints() == []


def test_by_keyboard(site: Site) -> None:
    kim = site.user("kim")
    with site.visit(kim) as page:
        page.get("button", f"Accounts: {kim}").focus()
        page.press("Enter")
        page.get("link", "Add an account")
        page.press("Escape")
        until(lambda: not page.find("link", "Add an account"), "the panel is closed")
        assert page.evaluate("document.activeElement.className") == "account"
        page.get("link", "Skip to the content").focus()
        page.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.get("link", "Devices").focus()
        page.press("Enter")
        page.get("heading", "Devices")
        assert page.evaluate("document.activeElement.textContent") == "Devices"


def test_where_the_browser_keeps_no_sign_in_the_page_says_why(site: Site) -> None:
    ivy = site.user("ivy")
    with site.browser.profile() as page:
        page.open(site.at.url.replace("127.0.0.1", PLAIN))
        page.fill("E-mail", ivy)
        page.fill("Password", PASSWORD)
        page.press("Enter")
        page.reads("This browser does not keep the sign-in.")
        page.reads("https, or on localhost")
        page.get("heading", "Sign in")


def _add(page: Page, address: str) -> None:
    """A further account, by the menu."""
    page.get("button", page.find("button")[0].name).click()
    page.get("link", "Add an account").click()
    page.get("heading", "Add an account")
    sign_in(page, address)
