"""The example, run through the real command."""

from __future__ import annotations

import re
import urllib.request
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.services.notifications.textbox import texts
from runtime.testing import RunningEnvironment, running
from tests.services.notifications.push_service import push_service

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def environment() -> Iterator[RunningEnvironment]:
    with running(HERE / "spec.yaml") as environment:
        yield environment


def script() -> dict[str, Any]:
    """What ship.py defines."""
    found: dict[str, Any] = {"__name__": "ship", "__file__": str(HERE / "ship.py")}
    exec(compile((HERE / "ship.py").read_text(), "ship.py", "exec"), found)
    return found


def ship(at: RunningEnvironment, order: str, email: str = "ada@example.com") -> dict[str, dict[str, Any]]:
    return {receipt["kind"]: receipt for receipt in script()["ship"](at.url, at.key, email, order)}


def mails(at: RunningEnvironment) -> list[Any]:
    """Of parcels; the invitation that a new user gets is another."""
    caught = [message_from_bytes(path.read_bytes(), policy=default) for path in sorted(at.state.mail.glob("*.eml"))]
    return [mail for mail in caught if "invited" not in mail["Subject"]]


def test_one_event_reaches_inbox_and_mail_once(environment: RunningEnvironment) -> None:
    first, again = ship(environment, "1"), ship(environment, "1")
    assert {kind: receipt["status"] for kind, receipt in first.items()} == {
        "in_app": "sent", "email": "sent", "push": "suppressed", "sms": "suppressed",
    }  # fmt: skip
    assert again == first
    (mail,) = mails(environment)
    assert mail["Subject"] == "Your 2 parcels are on their way"
    text = mail.get_body(("plain",)).get_content()
    assert "March 1, 2026" in text
    assert "https://parcels.example.com/1" in text


def test_the_link_in_the_mail_ends_them(environment: RunningEnvironment) -> None:
    ship(environment, "2")
    (link,) = re.findall(r"^<http://127\.0\.0\.1:8080(/\S+)>$", mails(environment)[-1]["List-Unsubscribe"])
    request = urllib.request.Request(environment.url + link, b"List-Unsubscribe=One-Click", method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    assert ship(environment, "3")["email"]["reason"] == "the channel is switched off for the category"


def test_it_reaches_a_browser(environment: RunningEnvironment) -> None:
    ship(environment, "4")  # there is a user now
    (ada,) = environment.get("/v1/users").body["items"]
    with push_service() as service:
        browser = service.browser()
        path = f"/v1/notifications/push-subscriptions?user={ada['id']}"
        assert environment.post(path, browser.subscription(device="phone")).status == 201
        assert ship(environment, "5")["push"]["status"] == "sent"
        (came,) = service.requests
        shown = browser.opened(came.body)
    assert (shown["title"], shown["link"]) == ("Your 2 parcels are on their way", "https://parcels.example.com/5")


def test_it_reaches_a_phone(environment: RunningEnvironment) -> None:
    bob, phone = "bob@example.com", "+436601234567"
    for _ in range(2):  # once more changes nothing
        script()["prove_phone"](environment.url, environment.key, bob, phone, environment.state.texts)
    assert len(texts(environment.state.texts)) == 1
    receipt = ship(environment, "6", bob)["sms"]
    assert (receipt["status"], receipt["address"], receipt["details"]["segments"]) == ("sent", phone, 1)
    assert texts(environment.state.texts)[-1].body == (
        "parcels: your 2 parcels are on their way. https://parcels.example.com/6"
    )


def test_it_speaks_french(environment: RunningEnvironment) -> None:
    asked = {"category": "order-shipped", "language": "fr-CA", "data": {"count": 1, "arrives": "2026-03-01"}}
    shown = environment.post("/v1/notifications/preview", asked).body
    assert (shown["language"], shown["subject"]) == ("fr", "Votre colis est en route")
    assert "1 mars 2026" in shown["text"]
