"""Accounts over real HTTP and real mail, through the real command, with the cookies of two browsers."""

from __future__ import annotations

import email
import email.policy
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from runtime.testing import RunningEnvironment, running
from tests.browser import Browser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GOOD, BETTER = "correct horse battery", "staple of the better kind"
SPEC = {
    "version": 1,
    "name": "site",
    "auth": {"signup": "open", "passwords": {"rounds": 4}, "api_keys": {"rounds": 4}},
    "notifications": {"channels": {"email": {"kind": "smtp", "host": "embedded", "from": "Site <site@example.com>"}}},
    "events": {"streams": {"security": {"events": {"login.failed": {}, "session.revoked": {}}}}},
}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvironment]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "spec.yaml").write_text(json.dumps(SPEC))
    with running(folder / "spec.yaml") as environment:
        yield environment


class Visitor(Browser):
    """A browser whose user is new here."""

    def sign_up(self, address: str) -> None:
        assert self.send("POST", "/v1/auth/signup", {"email": address, "password": GOOD}).status_code == 202
        proof = {"email": address, "code": code(self.at, address)}
        assert self.send("POST", "/v1/auth/verify", proof).status_code == 200

    def sign_in(self, address: str, password: str = GOOD) -> httpx.Response:
        return super().sign_in(address, password)


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 15
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


def code(at: RunningEnvironment, address: str) -> str:
    """The code in the newest mail to an address, once it has come."""

    def look() -> str | None:
        for path in sorted(at.state.mail.glob("*.eml"), key=lambda path: path.stat().st_mtime, reverse=True):
            mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            body = mail.get_body(("plain",))
            found = re.search(r"code is (\S+)", body.get_content()) if body is not None else None
            if found and address in str(mail["To"]):
                return found[1]
        return None

    return str(until(look))


@pytest.fixture
def browser(at: RunningEnvironment) -> Iterator[Visitor]:
    with Visitor(at) as browser:
        yield browser


@pytest.fixture
def other(at: RunningEnvironment) -> Iterator[Visitor]:
    with Visitor(at) as browser:
        yield browser


def test_two_accounts_two_browsers_and_one_is_thrown_out(
    at: RunningEnvironment, browser: Visitor, other: Visitor
) -> None:
    browser.sign_up("ada@example.com")
    browser.sign_up("bob@example.com")
    ada = browser.sign_in("ada@example.com").json()
    both = browser.sign_in("bob@example.com").json()
    assert [account["email"] for account in both["accounts"]] == ["ada@example.com", "bob@example.com"]
    assert browser.send("GET", "/v1/profile").json()["email"] == "bob@example.com"
    assert browser.send("POST", "/v1/auth/switch", {"account": ada["current"]["id"]}).status_code == 200
    assert browser.send("GET", "/v1/profile").json()["email"] == "ada@example.com"
    assert sum(map(len, browser.cookies.values())) < 4000

    there = other.sign_in("ada@example.com").json()
    seen = browser.send("GET", "/v1/auth/sessions").json()["items"]
    assert [device["here"] for device in seen].count(True) == 1
    assert {device["id"] for device in seen} == {both["id"], there["id"]}
    assert other.send("GET", "/v1/profile").status_code == 200
    assert browser.send("DELETE", f"/v1/auth/sessions/{there['id']}").status_code == 204
    assert other.send("GET", "/v1/profile").status_code == 401
    assert other.send("POST", "/v1/auth/refresh").status_code == 401
    told = until(lambda: at.get("/v1/streams/security/events?type=session.revoked").body["items"])
    assert (told[-1]["data"]["session"], told[-1]["data"]["reason"]) == (there["id"], "owner")

    left = browser.send("POST", "/v1/auth/logout", {}).json()
    assert [account["email"] for account in left["accounts"]] == ["bob@example.com"]
    assert browser.send("POST", "/v1/auth/logout", {"all": True}).status_code == 204
    assert set(browser.cookies) == {"__Host-device"}
    assert browser.send("GET", "/v1/auth/session").status_code == 401


def test_an_access_token_that_has_run_out_is_renewed_within_the_request(browser: Visitor) -> None:
    browser.sign_up("carl@example.com")
    browser.sign_in("carl@example.com")
    before = browser.cookies.pop("__Host-refresh"), browser.cookies.pop("__Host-access")
    browser.cookies["__Host-refresh"] = before[0]
    assert browser.send("GET", "/v1/profile").status_code == 200
    assert browser.cookies["__Host-refresh"] != before[0]
    del browser.cookies["__Host-access"]
    assert browser.send("PUT", "/v1/profile", {"name": "Carl"}).json()["name"] == "Carl"
    del browser.cookies["__Host-access"]
    assert browser.send("POST", "/v1/auth/refresh").status_code == 200
    assert browser.send("GET", "/v1/auth/session").status_code == 200


def test_an_event_stream_and_a_websocket_are_renewed_too_and_end_with_the_session(
    at: RunningEnvironment, browser: Visitor, other: Visitor
) -> None:
    made = at.post("/v1/users", {"email": "iris@example.com", "password": GOOD, "scopes": ["events:read"]})
    assert made.status == 201
    for each in (browser, other):
        each.sign_in("iris@example.com")
    before = other.cookies["__Host-refresh"]
    del other.cookies["__Host-access"]
    with httpx.stream("GET", f"{at.url}/v1/streams/security/subscribe", headers=other.headers, timeout=15) as stream:
        assert stream.status_code == 200
        for line in stream.headers.get_list("set-cookie"):
            other.keep(line)
        assert other.cookies["__Host-refresh"] != before
        chunks = stream.iter_text()
        assert next(chunks).startswith(": open")
        del other.cookies["__Host-access"]
        again = other.cookies["__Host-refresh"]
        with connect(at.url.replace("http", "ws") + "/v1/live", additional_headers=other.headers) as socket:
            assert socket.response is not None
            for line in socket.response.headers.get_all("set-cookie"):
                other.keep(line)
            assert other.cookies["__Host-refresh"] != again
            there = other.send("GET", "/v1/auth/session").json()["id"]
            assert browser.send("DELETE", f"/v1/auth/sessions/{there}").status_code == 204
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=10)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "signed out")
        assert [chunk for chunk in chunks if "retry" in chunk] == []  # it has ended, and is not called back
    with pytest.raises(InvalidStatus) as refused:
        connect(at.url.replace("http", "ws") + "/v1/live", additional_headers=other.headers)
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers.get_all("set-cookie") == []  # it would take those of a sign-in since then


def test_an_event_stream_and_a_websocket_end_when_their_key_runs_out(at: RunningEnvironment) -> None:
    end = datetime.now(UTC) + timedelta(seconds=5)
    made = at.post("/v1/api-keys", {"name": "short", "scopes": ["events:read"], "expires_at": end.isoformat()})
    assert made.status == 201
    headers = {"Authorization": f"Bearer {made.body['key']}"}
    with (
        httpx.stream("GET", f"{at.url}/v1/streams/security/subscribe", headers=headers, timeout=15) as stream,
        connect(at.url.replace("http", "ws") + "/v1/live", additional_headers=headers) as socket,
    ):
        assert stream.status_code == 200
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=15)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "the key has run out")
        assert datetime.now(UTC) >= end
        assert "retry" not in "".join(stream.iter_text())  # it has ended, and is not called back
    assert at.request("GET", "/v1/streams", headers=headers).status == 401


def test_a_phone_is_refused_as_long_as_nothing_sends_text_messages(browser: Visitor) -> None:
    browser.sign_up("jane@example.com")
    browser.sign_in("jane@example.com")
    refused = browser.send("PUT", "/v1/profile", {"name": "Jane", "phones": ["+43 1 234567"]})
    assert (refused.status_code, "not available" in refused.json()["detail"]) == (409, True)
    assert browser.send("GET", "/v1/profile").json()["phones"] == []
    wrong = browser.send("POST", "/v1/profile/phones/verify", {"phone": "+431234567", "code": "22222-22222"})
    assert wrong.status_code == 400


def test_an_invitation_by_mail(at: RunningEnvironment, browser: Visitor) -> None:
    made = at.post("/v1/users", {"email": "kim@example.com", "scopes": ["jobs:read"]})
    assert made.status == 201
    first = code(at, "kim@example.com")
    assert at.post(f"/v1/users/{made.body['id']}/invite", {}).status == 202
    second = until(lambda: found if (found := code(at, "kim@example.com")) != first else None)
    choice = {"email": "kim@example.com", "password": GOOD}
    assert browser.send("POST", "/v1/auth/password/verify", {**choice, "code": first}).status_code == 400
    assert browser.send("POST", "/v1/auth/password/verify", {**choice, "code": second}).status_code == 200
    assert browser.sign_in("kim@example.com").status_code == 200
    assert browser.send("GET", "/v1/queues").status_code == 200
    assert at.post(f"/v1/users/{made.body['id']}/invite", {}).status == 409


def test_parallel_tabs_stay_signed_in_and_a_thief_ends_the_session(browser: Visitor) -> None:
    browser.sign_up("dora@example.com")
    browser.sign_in("dora@example.com")
    stolen = browser.cookies["__Host-refresh"]

    def refresh(_: int) -> httpx.Response:
        headers = {"Cookie": f"__Host-refresh={stolen}"}
        return httpx.post(f"{browser.at.url}/v1/auth/refresh", headers=headers, timeout=15)

    with ThreadPoolExecutor(8) as tabs:
        answers = list(tabs.map(refresh, range(24)))
    assert {answer.status_code for answer in answers} == {200}
    given = {line for each in answers for line in each.headers.get_list("set-cookie") if "refresh" in line}
    assert len({line.partition(";")[0] for line in given}) == 1
    browser.send("POST", "/v1/auth/refresh")
    browser.send("POST", "/v1/auth/refresh")
    assert browser.send("GET", "/v1/profile").status_code == 200
    assert refresh(0).status_code == 401
    assert browser.send("GET", "/v1/profile").status_code == 401


def test_another_sites_page_changes_nothing(browser: Visitor) -> None:
    browser.sign_up("eve@example.com")
    browser.sign_in("eve@example.com")
    change = ("PUT", "/v1/profile", {"name": "Mallory"})
    foreign: list[dict[str, str]] = [
        {"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"},
        {"Origin": "null"}, {"X_CSRF_Token": ""}, {"X_CSRF_Token": "guess"},
    ]  # fmt: skip
    for headers in foreign:
        assert browser.send(*change, **headers).status_code == 403, headers
    assert browser.send("GET", "/v1/profile", Sec_Fetch_Site="cross-site").json()["name"] is None
    sign_in = {"email": "eve@example.com", "password": GOOD}
    assert browser.send("POST", "/v1/auth/login", sign_in, Origin="https://evil.example").status_code == 403
    assert browser.send(*change).json()["name"] == "Mallory"


def test_a_program_signs_in_and_shows_its_token(at: RunningEnvironment, browser: Visitor) -> None:
    browser.sign_up("fred@example.com")
    token = browser.sign_in("fred@example.com").json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert at.request("GET", "/v1/profile", headers=bearer).body["email"] == "fred@example.com"
    assert at.request("PUT", "/v1/profile", {"name": "Fred"}, headers=bearer).status == 200
    assert at.request("GET", "/v1/users", headers=bearer).status == 403
    assert at.request("GET", "/v1/queues", headers=bearer).status == 403
    made = at.request("POST", "/v1/api-keys", {"name": "mine", "scopes": ["account:read"]}, headers=bearer)
    by_key = {"Authorization": f"Bearer {made.body['key']}"}
    assert at.request("GET", "/v1/profile", headers=by_key).body["name"] == "Fred"
    assert at.request("GET", "/v1/auth/session", headers=by_key).status == 401
    wider = {"name": "more", "scopes": ["runtime:admin"]}
    assert at.request("POST", "/v1/api-keys", wider, headers=bearer).status == 403


def test_a_forgotten_password(browser: Visitor, other: Visitor) -> None:
    browser.sign_up("gina@example.com")
    browser.sign_in("gina@example.com")
    asked = other.send("POST", "/v1/auth/password/reset", {"email": "gina@example.com"})
    unknown = other.send("POST", "/v1/auth/password/reset", {"email": "nobody@example.com"})
    assert (asked.status_code, asked.content) == (unknown.status_code, unknown.content)

    def works() -> bool:
        proof = {"email": "gina@example.com", "code": code(other.at, "gina@example.com"), "password": BETTER}
        return other.send("POST", "/v1/auth/password/verify", proof).status_code == 200

    until(works)  # the newest mail may still be the one of the sign-up
    assert browser.send("GET", "/v1/profile").status_code == 401
    assert other.sign_in("gina@example.com").status_code == 401
    assert other.sign_in("gina@example.com", BETTER).status_code == 200
    change = {"present": BETTER, "password": GOOD}
    assert other.send("POST", "/v1/auth/password", change).status_code == 200
    assert other.sign_in("gina@example.com").status_code == 200


def test_a_mail_names_no_host_that_a_request_made_up(at: RunningEnvironment, browser: Visitor) -> None:
    browser.sign_up("ida@example.com")
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    asked = httpx.post(
        f"{at.url}/v1/auth/password/reset", json={"email": "ida@example.com"}, headers=headers, timeout=15
    )
    assert asked.status_code == 202

    def mails() -> list[bytes]:
        found = [path.read_bytes() for path in at.state.mail.glob("*.eml")]
        return [mail for mail in found if b"ida@example.com" in mail and b"new password" in mail]

    (mail,) = until(mails)
    assert b"evil" not in mail
    assert b"http" not in mail


def test_everybody_may_know_whether_there_is_a_sign_up(at: RunningEnvironment) -> None:
    assert httpx.get(f"{at.url}/v1/auth/signup", timeout=15).json() == {"signup": "open"}


def test_a_refused_websocket_is_answered_and_is_no_error_of_ours(at: RunningEnvironment, browser: Visitor) -> None:
    live = at.url.replace("http", "ws") + "/v1/live"
    key = {"Authorization": f"Bearer {at.key}"}
    refusals: list[tuple[str, dict[str, str], int]] = [
        (live, {}, 401),
        (live, {"Authorization": "Bearer wrong"}, 401),
        (live, {**key, "Origin": "https://evil.example"}, 403),
        (live + "/nowhere", key, 404),
    ]
    for url, headers, status in refusals:
        with pytest.raises(InvalidStatus) as refused:
            connect(url, additional_headers=headers)
        assert refused.value.response.status_code == status
        assert refused.value.response.headers["Content-Type"] == "application/problem+json"
        assert json.loads(refused.value.response.body or b"")["status"] == status
    with connect(live, additional_headers=key) as socket:
        socket.send("{}")
        assert socket.recv(timeout=15)
    assert "ASGI" not in at.output
    assert "handshake" not in at.output


def test_users_by_hand(at: RunningEnvironment, browser: Visitor) -> None:
    made = at.post("/v1/users", {"email": "hal@example.com", "password": GOOD, "scopes": ["jobs:read"]})
    assert made.status == 201
    assert at.post("/v1/users", {"email": "hal@example.com"}).status == 409
    assert at.get(f"/v1/users/{made.body['id']}").body["scopes"] == ["jobs:read"]
    assert browser.sign_in("hal@example.com").status_code == 200
    assert browser.send("GET", "/v1/queues").status_code == 200
    assert made.body["id"] in [user["id"] for user in at.get("/v1/users").body["items"]]
    assert at.request("DELETE", f"/v1/users/{made.body['id']}").status == 204
    assert browser.send("GET", "/v1/queues").status_code == 401
    assert at.get("/v1/users/nobody").status == 404


@pytest.mark.parametrize("path", ["signup", "login", "verify", "password/reset", "password/verify"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"email": 1}', b'{"email": "a@b", "more": 1}', b"\xff", b"null"])
def test_a_malformed_body_is_400(at: RunningEnvironment, path: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert httpx.post(f"{at.url}/v1/auth/{path}", content=body, headers=headers, timeout=15).status_code == 400


@pytest.mark.parametrize(
    "cookie",
    ["__Host-refresh", "__Host-refresh=", "__Host-access=a.b.c", "__Host-refresh=" + "x" * 9000, ";;;=;", "=a",
     "__Host-access=\xff; __Host-refresh=\xff"],
)  # fmt: skip
def test_a_malformed_cookie_is_401(at: RunningEnvironment, cookie: str) -> None:
    headers = [(b"Cookie", cookie.encode("latin-1"))]
    assert httpx.get(f"{at.url}/v1/profile", headers=headers, timeout=15).status_code == 401


OPEN = {
    "/livez", "/readyz", "/healthz", "/.well-known/jwks.json", "/v1/auth/signup", "/v1/auth/login",
    "/v1/auth/refresh", "/v1/auth/verify", "/v1/auth/password/reset", "/v1/auth/password/verify",
    "/v1/credits/callbacks/{processor}", "/v1/notifications/callbacks/{channel}", "/v1/notifications/unsubscribe",
}  # fmt: skip


def test_no_route_of_the_document_is_open_by_accident(at: RunningEnvironment) -> None:
    document = at.get("/openapi.json").body
    seen = set()
    for path, item in document["paths"].items():
        for method in item:
            answer = httpx.request(method, at.url + re.sub(r"\{[^}]*\}", "1", path), timeout=15)
            if path in OPEN:
                assert item[method]["security"] == [], path
                seen.add(path)
            else:
                assert answer.status_code in (401, 429), f"{method} {path}: {answer.text}"
                assert item[method]["x-scope"], path
    assert seen == OPEN


def test_nothing_secret_is_printed_and_failures_are_told(at: RunningEnvironment, browser: Visitor) -> None:
    assert browser.sign_in("ada@example.com", "wrong horse").status_code == 401
    told = until(lambda: at.get("/v1/streams/security/events?type=login.failed").body["items"])
    assert "password" in {event["data"]["method"] for event in told}
    for secret in (GOOD, BETTER, "wrong horse", *browser.cookies.values()):
        assert secret not in at.output
        assert secret not in json.dumps(told)
    details = at.get("/healthz").body["services"]["auth"]["details"]["auth"]
    assert details["users"] > 0
    assert details["mail"] == "email"
