"""The example, run through the real command; with the real parts where npm can bring them."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import socket
import subprocess
import urllib.request
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.services.notifications.textbox import texts
from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


@dataclass
class Shop:
    """The example at work.

    Args:
        maildev, push: where the real parts are; empty without them.
    """

    at: RunningEnvironment
    script: dict[str, Any]
    maildev: str = ""
    push: str = ""

    @property
    def ada(self) -> str:
        return str(self.script["user"](self.at.url, self.at.key, "ada@example.com"))

    def ship(self, order: str) -> dict[str, dict[str, Any]]:
        receipts = self.script["ship"](self.at.url, self.at.key, self.ada, order)
        return {receipt["kind"]: receipt for receipt in receipts}

    def mails(self) -> list[Any]:
        """Of parcels, in order; the invitation that a new user gets is another."""
        if self.maildev:
            ids = [mail["id"] for mail in self.script["ask"](f"{self.maildev}/email")]
            raw = [urllib.request.urlopen(f"{self.maildev}/email/{id_}/source").read() for id_ in ids]
        else:
            raw = [path.read_bytes() for path in sorted(self.at.state.mail.glob("*.eml"))]
        found = [message_from_bytes(each, policy=default) for each in raw]
        return [mail for mail in found if "invited" not in mail["Subject"]]


def ports(count: int) -> list[int]:
    """Free ones."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return found


def installed() -> bool:
    """Whether the real parts are there, or could be brought."""
    if (HERE / "node_modules" / "maildev").is_dir():
        return True
    if shutil.which("npm") is None or shutil.which("node") is None:
        return False
    line = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix", str(HERE)]
    try:
        return subprocess.run(line, capture_output=True, timeout=120).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    script = runpy.run_path(str(HERE / "ship.py"))
    if not installed():
        with running(HERE / "spec.yaml") as at:
            yield Shop(at, script)
        return
    smtp, web, push = ports(3)
    environ = {"MAIL_HOST": "127.0.0.1", "MAIL_PORT": str(smtp)}
    with (
        runpy.run_path(str(HERE / "parts.py"))["parts"](smtp, web, push),
        running(HERE / "spec.yaml", environ=environ) as at,
    ):
        yield Shop(at, script, f"http://127.0.0.1:{web}", f"http://127.0.0.1:{push}")


@pytest.fixture
def real(shop: Shop) -> Shop:
    if not shop.maildev:
        pytest.skip("npm cannot bring maildev and web-push-testing")
    return shop


def test_one_event_reaches_inbox_and_mail_once(shop: Shop) -> None:
    first, again = shop.ship("1"), shop.ship("1")
    assert {kind: receipt["status"] for kind, receipt in first.items()} == {
        "in_app": "sent", "email": "sent", "push": "suppressed", "sms": "suppressed",
    }  # fmt: skip
    assert again == first
    (mail,) = shop.mails()
    assert mail["Subject"] == "Your 2 parcels are on their way"
    text = mail.get_body(("plain",)).get_content()
    assert "March 1, 2026" in text
    assert "https://parcels.example.com/1" in text


def test_a_mail_client_sees_a_mail_of_two_parts_with_its_headers(real: Shop) -> None:
    receipt = real.ship("2")["email"]
    mail = real.script["ask"](f"{real.maildev}/email")[-1]
    assert [each["address"] for each in mail["to"]] == ["ada@example.com"]
    assert (mail["from"], mail["messageId"].strip("<>")) == (
        [{"address": "no-reply@example.com", "name": "Parcels"}],
        receipt["provider_id"],
    )
    assert "https://parcels.example.com/2" in mail["text"]
    assert 'href="https://parcels.example.com/2"' in mail["html"]
    assert mail["headers"]["content-type"].startswith("multipart/alternative")
    assert mail["headers"]["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert mail["headers"]["list-unsubscribe"].startswith("<http://127.0.0.1:8080/v1/notifications/unsubscribe?token=")


def test_it_reaches_a_browser_that_decrypts(real: Shop) -> None:
    ask, ada, url = real.script["ask"], real.ada, real.at.url
    there = real.script["browser"](url, real.at.key, ada, real.push)
    receipts = real.ship("3")
    assert {kind: receipt["status"] for kind, receipt in receipts.items()} == {
        "in_app": "sent", "email": "sent", "push": "sent", "sms": "suppressed",
    }  # fmt: skip
    (message,) = ask(f"{real.push}/get-notifications", {"clientHash": there})["data"]["messages"]
    shown = json.loads(message)
    assert (shown["title"], shown["link"]) == ("Your 2 parcels are on their way", "https://parcels.example.com/3")
    assert shown["id"] == receipts["push"]["id"]
    urllib.request.urlopen(f"{real.push}/expire-subscription/{there}", b"").close()
    assert real.ship("4")["push"]["status"] == "failed"  # 410: the subscription is deleted
    assert real.ship("5")["push"]["reason"] == "no address"


def test_the_script_prints_receipts_and_what_arrived(real: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    real.script["main"](real.at.url, real.at.state.path, real.maildev, real.push)
    said = capsys.readouterr().out
    for line in (r"in_app +sent", r"email +sent +ada@example\.com", r"push +sent +\w+", r"The mail:  Your 2 parcels",
                 r"sms +sent +\+43", r"The text:  parcels: your 2",
                 r'The push:  \{.*"title":"Your 2 parcels are on their way"'):  # fmt: skip
        assert re.search(rf"^{line}", said, re.MULTILINE), said


def test_the_link_in_the_mail_ends_them(shop: Shop) -> None:
    shop.ship("6")
    (link,) = re.findall(r"^<http://127\.0\.0\.1:8080(/\S+)>$", shop.mails()[-1]["List-Unsubscribe"])
    request = urllib.request.Request(shop.at.url + link, b"List-Unsubscribe=One-Click", method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    assert shop.ship("7")["email"]["reason"] == "the channel is switched off for the category"


def test_it_reaches_a_phone(shop: Shop) -> None:
    bob = shop.script["user"](shop.at.url, shop.at.key, "bob@example.com")
    before = len(texts(shop.at.state.texts))
    for _ in range(2):  # once more changes nothing
        shop.script["phone"](shop.at.url, shop.at.key, bob, "+436601234568", shop.at.state.texts)
    assert len(texts(shop.at.state.texts)) == before + 1
    found = {each["kind"]: each for each in shop.script["ship"](shop.at.url, shop.at.key, bob, "9")}
    assert (found["sms"]["status"], found["sms"]["address"]) == ("sent", "+436601234568")
    assert texts(shop.at.state.texts)[-1].body == (
        "parcels: your 2 parcels are on their way. https://parcels.example.com/9"
    )


def test_it_speaks_french(shop: Shop) -> None:
    asked = {"category": "order-shipped", "language": "fr-CA", "data": {"count": 1, "arrives": "2026-03-01"}}
    shown = shop.at.post("/v1/notifications/preview", asked).body
    assert (shown["language"], shown["subject"]) == ("fr", "Votre colis est en route")
    assert "1 mars 2026" in shown["text"]
