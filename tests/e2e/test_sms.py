"""Text messages through the real command: a phone is proven, a message delivered, an answer honoured, over HTTP."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from twilio.request_validator import RequestValidator

from runtime.services.notifications.textbox import texts
from runtime.testing import RunningEnvironment, running
from tests.e2e.test_accounts import SPEC, Visitor, until
from tests.services.notifications.site import write
from tests.services.notifications.sms_provider import TOKEN, sms_provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.services.notifications.sms_provider import SmsProvider

PHONE, OUTSIDE = "+436601234567", "https://core.example.com"
CALLBACK = "/v1/notifications/callbacks/sms"


class Customer(Visitor):
    """A browser that has the site's page from its public address."""

    @property
    def headers(self) -> dict[str, str]:
        return {**super().headers, "Origin": OUTSIDE}


@pytest.fixture(scope="module")
def provider() -> Iterator[SmsProvider]:
    with sms_provider() as made:
        yield made


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory, provider: SmsProvider) -> Iterator[RunningEnvironment]:
    folder = tmp_path_factory.mktemp("sms")
    write(folder / "news", {"sms.txt": "{{ name }}: {{ text }}"})
    notifications: Any = SPEC["notifications"]
    caught = {"kind": "http", "provider": "embedded", "from": "Core"}
    channels = {**notifications["channels"], "caught": caught, "sms": provider.twilio()}
    categories = {
        "news": {"channels": ["sms"], "template": "news"},
        "drill": {"channels": ["caught"], "template": "news"},
    }
    declared = {"channels": channels, "categories": categories}
    spec = {**SPEC, "api": {"public_url": OUTSIDE}, "notifications": declared}
    (folder / "spec.yaml").write_text(json.dumps(spec))
    with running(folder / "spec.yaml") as environment:
        yield environment


@pytest.fixture(scope="module")
def ada(at: RunningEnvironment, provider: SmsProvider) -> Iterator[str]:
    """The id of a user who has proven a phone with the code that came to it."""
    with Customer(at) as browser:
        browser.sign_up("ada@example.com")
        browser.sign_in("ada@example.com")
        changed = browser.send("PUT", "/v1/profile", {"name": "Ada", "phones": ["+43 (0)660 123 45 67"]})
        assert changed.status_code == 200, changed.text
        until(lambda: provider.sent)
        (sent,) = provider.sent
        assert sent.to == PHONE
        found = re.fullmatch(r"site: the code for your phone is (\S+)\. It is good for .*\.", sent.body)
        assert found is not None, sent.body
        proof = {"phone": PHONE, "code": found[1]}
        assert browser.send("POST", "/v1/profile/phones/verify", proof).status_code in (200, 204)
        profile = browser.send("GET", "/v1/profile").json()
        assert [(each["phone"], each["verified_at"] is not None) for each in profile["phones"]] == [(PHONE, True)]
        yield profile["id"]


def notified(at: RunningEnvironment, user: str, category: str = "news") -> dict[str, Any]:
    """The receipt of a text message, once it has gone out or not."""
    body = {"category": category, "to": {"users": [user]}, "data": {"text": "It is ready."}}
    taken = at.post("/v1/notifications", body)
    assert taken.status == 202, taken.body

    def receipt() -> Any:
        (found,) = at.get(f"/v1/notifications/{taken.body['id']}/deliveries").body["items"]
        return found if found["status"] not in ("queued", "sending") else None

    found: dict[str, Any] = until(receipt)
    return found


def called(at: RunningEnvironment, query: str = "", *, token: str = TOKEN, **form: str) -> httpx.Response:
    """A form that Twilio sends, signed for the address that it has from us."""
    signature = RequestValidator(token).compute_signature(OUTSIDE + CALLBACK + query, form)
    return httpx.post(at.url + CALLBACK + query, data=form, headers={"X-Twilio-Signature": signature})


def test_a_message_is_delivered_and_its_report_is_believed(
    at: RunningEnvironment, provider: SmsProvider, ada: str
) -> None:
    receipt = notified(at, ada)
    assert (receipt["status"], receipt["address"], receipt["details"]["segments"]) == ("sent", PHONE, 1)
    assert provider.sent[-1].body == "site: It is ready."
    asked = provider.sent[-1].fields["StatusCallback"]
    assert asked == f"{OUTSIDE}{CALLBACK}?delivery={receipt['id']}"
    told = {"MessageSid": receipt["provider_id"], "MessageStatus": "delivered", "To": PHONE}
    query = f"?delivery={receipt['id']}"
    refused = called(at, query, token="another", **told)
    assert (refused.status_code, refused.json()["detail"]) == (403, "the callback is not signed by the provider")
    answer = called(at, query, **told)
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/xml")
    assert answer.text == "<Response/>"  # a text would be sent to the recipient
    (seen,) = at.get(f"/v1/notifications/{receipt['notification']}/deliveries").body["items"]
    assert seen["status"] == "delivered"


def test_a_stop_holds_for_all_channels_of_text_messages_until_a_start(at: RunningEnvironment, ada: str) -> None:
    assert called(at, MessageSid="SM91", From=PHONE, Body="Stop", SmsStatus="received").status_code == 200
    assert notified(at, ada)["reason"] == "the address is suppressed"
    assert notified(at, ada, "drill")["reason"] == "the address is suppressed"
    assert called(at, MessageSid="SM92", From=PHONE, Body="START", SmsStatus="received").status_code == 200
    assert notified(at, ada)["status"] == "sent"


def test_caught_messages_are_files(at: RunningEnvironment, ada: str) -> None:
    receipt = notified(at, ada, "drill")
    assert receipt["status"] == "sent"
    (caught,) = [each for each in texts(at.state.texts) if each.id == receipt["provider_id"]]
    assert (caught.to, caught.from_, caught.body) == (PHONE, "Core", "site: It is ready.")
    services = at.get("/healthz").body["services"]
    assert services["auth"]["details"]["auth"]["text_messages"] == "yes"
    assert services["notifications"]["status"] == "operational"
