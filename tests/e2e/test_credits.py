"""Credits over real HTTP, through the real command."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "whsec_of_tests"
SPEC = {
    "version": 1,
    "name": "shop",
    "events": {
        "streams": {"billing": {"events": {"credits.used": {}, "credits.overdrawn": {}, "payment.received": {}}}},
        "subscriptions": {"used": {"stream": "billing", "handler": "billing.usage", "types": ["credits.used"]}},
    },
    "billing": {"currency": "EUR", "processors": {"stripe": {"kind": "stripe", "signing_secret": SECRET}}},
    "auth": {"api_keys": {"rounds": 4}},
}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvironment]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "spec.yaml").write_text(json.dumps(SPEC))
    with running(folder / "spec.yaml") as environment:
        yield environment


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 15
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


def shown(at: RunningEnvironment, account: str, more: str = "") -> dict[str, Any]:
    body: dict[str, Any] = at.get(f"/v1/credits?account={account}{more}").body
    return body


def enter(at: RunningEnvironment, account: str, kind: str, amount: str, **more: Any) -> Any:
    return at.post("/v1/credits", {"account": account, "kind": kind, "amount": amount, **more})


def test_a_purchase_is_entered_once_and_published(at: RunningEnvironment) -> None:
    first = enter(at, "ada", "purchase", "12.5", operation="invoice 7", reason="paid by transfer")
    again = enter(at, "ada", "purchase", "12.5", operation="invoice 7", reason="paid by transfer")
    assert (first.status, first.body["balance"], first.body["currency"]) == (201, "12.50", "EUR")
    assert again.body == first.body
    assert enter(at, "ada", "purchase", "13", operation="invoice 7").status == 409
    (event,) = until(lambda: at.get("/v1/streams/billing/events?type=payment.received").body["items"])
    assert (event["data"]["account"], event["data"]["amount"], event["key"]) == ("ada", "12.50", "ada")


def test_what_was_used_is_taken_and_a_debit_beyond_it_refused(at: RunningEnvironment) -> None:
    assert enter(at, "bob", "bonus", "1").status == 201
    used = {"type": "credits.used", "data": {"account": "bob", "amount": "1.25", "currency": "EUR", "reason": "test"}}
    assert at.post("/v1/streams/billing/events", {**used, "id": "work"}).status == 202
    until(lambda: shown(at, "bob")["balance"] == "-0.25")
    assert [item["amount"] for item in shown(at, "bob")["items"]] == ["-1.25", "1.00"]
    assert until(lambda: at.get("/v1/streams/billing/events?type=credits.overdrawn").body["items"])
    refused = enter(at, "bob", "adjustment", "-0.01")
    assert (refused.status, refused.body["title"]) == (402, "Not enough credit")
    with ThreadPoolExecutor(20) as threads:
        enter(at, "eve", "bonus", "10")
        answers = list(threads.map(lambda _: enter(at, "eve", "adjustment", "-1").status, range(100)))
    assert (answers.count(201), answers.count(402)) == (10, 90)


def test_pages(at: RunningEnvironment) -> None:
    for _ in range(3):
        enter(at, "pages", "refund", "1")
    first = shown(at, "pages", "&limit=2")
    rest = shown(at, "pages", f"&limit=2&after={first['next']}")
    assert [item["balance"] for item in first["items"] + rest["items"]] == ["3.00", "2.00", "1.00"]
    assert rest["next"] is None
    assert at.get("/v1/credits?account=ada&after=nonsense").status == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": "1,5"}, {"amount": "-1"}, {"amount": "0"}, {"amount": 1.5}, {"kind": "usage"}, {"account": ""},
        {"more": 1}, {"amount": "1e400"}, {"account": "x" * 300},
    ],
)  # fmt: skip
def test_a_wrong_entry_is_refused(at: RunningEnvironment, wrong: dict[str, Any]) -> None:
    assert at.post("/v1/credits", {"account": "ada", "kind": "bonus", "amount": "1", **wrong}).status == 400


def test_another_currency_is_refused(at: RunningEnvironment) -> None:
    assert enter(at, "ada", "bonus", "1", currency="USD").status == 409


def callback(at: RunningEnvironment, body: bytes, *, signed: bytes | None = None, name: str = "stripe") -> Any:
    moment = int(time.time())
    digest = hmac.new(SECRET.encode(), f"{moment}.".encode() + (signed or body), hashlib.sha256).hexdigest()
    request = urllib.request.Request(f"{at.url}/v1/credits/callbacks/{name}", body, method="POST")
    request.add_header("Content-Type", "application/json; charset=utf-8")
    request.add_header("Stripe-Signature", f"t={moment},v1={digest}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_signed_callback_needs_no_key_and_is_taken_to_the_byte(at: RunningEnvironment) -> None:
    told = {"id": "pi_1", "amount_received": 700, "currency": "eur", "metadata": {"account": "carl"}}
    event = {"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": told}}
    body = json.dumps(event, indent=2).encode()
    assert callback(at, body) == (200, {"result": "recorded"})
    assert callback(at, body) == (200, {"result": "known"})
    assert shown(at, "carl")["balance"] == "7.00"
    status, problem = callback(at, json.dumps(event).encode(), signed=body)
    assert (status, problem["errors"][0]["in"]) == (400, "header")
    assert callback(at, body, name="stripes")[0] == 404
    assert SECRET not in at.output


def test_without_the_section_there_are_no_credits(tmp_path: Any) -> None:
    (tmp_path / "spec.yaml").write_text("{version: 1, name: bare}")
    with running(tmp_path / "spec.yaml") as bare:
        answer = bare.get("/v1/credits")
        assert (answer.status, answer.body["detail"]) == (404, "the spec declares no billing")
        assert "billing" not in bare.get("/healthz").body["services"]


def test_a_key_is_told_what_it_may_spend(at: RunningEnvironment) -> None:
    wanted = {"name": "ci", "scopes": ["credits:read"], "owner": "frugal", "credits": "12.50"}
    made = at.post("/v1/api-keys", wanted)
    assert made.status == 201
    by_key = {"Authorization": f"Bearer {made.body['key']}"}
    body = at.request("GET", "/v1/credits", headers=by_key).body
    assert (body["account"], body["limit"], body["spent"]) == ("frugal", "12.50", "0.00")
    assert shown(at, "frugal")["limit"] is None
    (listed,) = at.get("/v1/api-keys?owner=frugal").body["items"]
    assert listed["credits"] == "12.5"
    for wrong in ("0", "-1", "much", "1e400"):
        assert at.post("/v1/api-keys", {**wanted, "credits": wrong}).status == 400, wrong
