"""The page in a real browser, on a real environment: one of each for a file."""

from __future__ import annotations

import email
import email.policy
import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import running
from tests.dashboard.chromium import Chromium, Page, chromium, installed, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.testing import RunningEnvironment

PASSWORD = "an old bicycle leans on 7 walls"
TEMPLATES = Path(__file__).parents[2] / "specs" / "templates"
CATEGORIES: dict[str, dict[str, Any]] = {
    "system-alert": {"channels": ["in_app", "email", "push"], "description": "Troubles of the system."},
    "account-security": {"channels": ["in_app", "push"], "mandatory": True, "mode": "forced"},
    "promotion": {"channels": ["in_app", "email"], "description": "Offers and news.", "default": "out"},
}
SPEC = {
    "version": 1,
    "name": "site",
    "api": {"rate_limit": "100000/m"},
    "auth": {"signup": "open", "passwords": {"rounds": 4}},
    "notifications": {
        "channels": {
            "email": {"kind": "smtp", "host": "embedded", "from": "Site <site@example.com>"},
            "push": {"kind": "webpush", "vapid": {"subject": "mailto:ops@example.com"}, "private_endpoints": True},
            "in_app": {"kind": "in_app"},
        },
        "categories": {name: {"template": f"templates/{name}", **about} for name, about in CATEGORIES.items()},
    },
}


class Site:
    """An environment and a browser that is on its page."""

    def __init__(self, at: RunningEnvironment, browser: Chromium) -> None:
        self.at = at
        self.browser = browser
        self.users: dict[str, str] = {}

    def user(self, name: str) -> str:
        """The address of a new user with the password of all."""
        address = f"{name}@example.com"
        made = self.at.post("/v1/users", {"email": address, "password": PASSWORD, "verified": True})
        assert made.status == 201, made
        self.users[address] = made.body["id"]
        return address

    def tell(self, address: str, title: str, text: str = "x", category: str = "system-alert", **more: Any) -> str:
        body = {"category": category, "to": {"users": [self.users[address]]}, "data": {"title": title, "text": text}}
        taken = self.at.post("/v1/notifications", {**body, **more})
        assert taken.status == 202, taken
        return str(taken.body["id"])

    def code(self, address: str) -> str:
        """The code of the newest mail to an address."""

        def look() -> str | None:
            for path in sorted(self.at.state.mail.glob("*.eml"), key=lambda path: path.stat().st_mtime, reverse=True):
                mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                body = mail.get_body(("plain",))
                found = re.search(r"code is (\S+)", body.get_content()) if body is not None else None
                if found and address in str(mail["To"]):
                    return found[1]
            return None

        return str(until(look, f"no mail to {address}"))

    @contextmanager
    def visit(self, address: str | None = None, url: str | None = None) -> Iterator[Page]:
        """A browser of its own on the page, signed in as one that gives an address; nothing may be wrong with it."""
        with self.browser.profile() as page:
            page.open(f"{url or self.at.url}/")
            page.get("heading", "Sign in")
            if address is not None:
                sign_in(page, address)
            yield page
            assert page.complaints() == []


def sign_in(page: Page, address: str) -> None:
    """Through the form that is shown."""
    page.fill("E-mail", address)
    page.fill("Password", PASSWORD)
    page.press("Enter")
    page.get("button", f"Accounts: {address}")
    page.reads("Live")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if installed() is None:
        pytest.skip("there is no Chromium here: apt-get install chromium, or CHROMIUM=/path/to/it")
    folder = tmp_path_factory.mktemp("dashboard")
    (folder / "templates").symlink_to(TEMPLATES)
    (folder / "spec.yaml").write_text(json.dumps(SPEC))
    with chromium(folder) as browser, running(folder / "spec.yaml") as at:
        yield Site(at, browser)
