"""Notifications of a running environment: over HTTP, over the WebSocket, by hand and from a task."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect

from runtime.testing import running
from tests.services.notifications.push_service import push_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.testing import Answer, RunningEnvironment

SPEC = Path(__file__).parents[2] / "specs" / "development.yaml"
PASSWORD = "an old bicycle leans on 7 walls"
TASKS = """
from runtime import Audience, JobContext, Notice, task

@task("tell")
async def tell(job: JobContext, payload: dict) -> dict:
    notice = Notice("system-alert", {"title": "Told", "text": "by a task"}, key=job.id)
    told = await job.notify(notice, Audience(users=(payload["user"],)))
    return {"id": told.id}
"""


class Ada:
    """A user with an API key of her own."""

    def __init__(self, at: RunningEnvironment) -> None:
        self.at = at
        made = at.post("/v1/users", {"email": "ada@example.com", "password": PASSWORD, "verified": True})
        self.id = made.body["id"]
        scopes = ["account:read", "account:write"]
        key = at.post("/v1/api-keys", {"name": "ada", "scopes": scopes, "owner": f"user:{self.id}"})
        self.key = key.body["key"]

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        return self.at.request(method, path, body, headers={"Authorization": f"Bearer {self.key}"})


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvironment]:
    folder = tmp_path_factory.mktemp("notifications")
    (folder / "telling.py").write_text(TASKS)
    spec = {
        "extends": str(SPEC),
        "plugins": ["telling"],
        "api": {"public_url": "https://core.example.com"},
        "queues": {"demo": None, "tell": {"handler": "tell"}},
        "events": {"subscriptions": {"demo-log": None}},
        "notifications": {
            "channels": {"email": {"callback_secret": "whsec_c2VjcmV0"}, "push": {"private_endpoints": True}},
        },
    }
    (folder / "spec.yaml").write_text(json.dumps(spec))
    with running(folder / "spec.yaml") as made:
        yield made


@pytest.fixture(scope="module")
def ada(environment: RunningEnvironment) -> Ada:
    return Ada(environment)


def alert(at: RunningEnvironment, ada: Ada, **more: Any) -> Answer:
    data = {"title": "Disk", "text": "It is almost full."}
    return at.post("/v1/notifications", {"category": "system-alert", "to": {"users": [ada.id]}, "data": data, **more})


def settled(at: RunningEnvironment, id_: str) -> dict[str, Any]:
    """The receipts, by kind, once none of them waits."""
    deadline = time.monotonic() + 15
    while True:
        found = {each["kind"]: each for each in at.get(f"/v1/notifications/{id_}/deliveries").body["items"]}
        if found and not {each["status"] for each in found.values()} & {"queued", "sending"}:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def test_one_call_reaches_mail_and_inbox_with_a_receipt_each(environment: RunningEnvironment, ada: Ada) -> None:
    taken = alert(environment, ada, key="e2e-1", link="https://app.example.com/disk")
    assert (taken.status, taken.body["known"], taken.body["deliveries"]) == (202, False, 3)
    assert alert(environment, ada, key="e2e-1", link="https://app.example.com/disk").body["known"] is True
    receipts = settled(environment, taken.body["id"])
    assert {kind: each["status"] for kind, each in receipts.items()} == {
        "email": "sent", "in_app": "sent", "push": "suppressed",
    }  # fmt: skip
    inbox = ada.ask("GET", "/v1/notifications").body
    assert (inbox["items"][0]["title"], inbox["items"][0]["link"]) == ("Disk", "https://app.example.com/disk")
    assert inbox["unread"] >= 1
    mails = [path.read_bytes() for path in environment.state.mail.glob("*.eml")]
    assert sum(receipts["email"]["provider_id"].encode() in mail for mail in mails) == 1


def test_reading_and_putting_away(environment: RunningEnvironment, ada: Ada) -> None:
    alert(environment, ada)
    first = ada.ask("GET", "/v1/notifications?limit=1").body
    item = first["items"][0]
    left = ada.ask("POST", f"/v1/notifications/{item['id']}/read").body["unread"]
    assert left == first["unread"] - 1
    assert item["id"] not in [each["id"] for each in ada.ask("GET", "/v1/notifications?unread=true").body["items"]]
    assert ada.ask("POST", f"/v1/notifications/{item['id']}/archive").status == 200
    assert item["id"] not in [each["id"] for each in ada.ask("GET", "/v1/notifications").body["items"]]
    assert item["id"] in [each["id"] for each in ada.ask("GET", "/v1/notifications?archived=true").body["items"]]
    assert ada.ask("POST", "/v1/notifications/read").body == {"unread": 0}
    assert ada.ask("POST", "/v1/notifications/nothing/read").status == 404
    for number in range(3):
        alert(environment, ada, data={"title": f"t{number}", "text": "x"})
    one = ada.ask("GET", "/v1/notifications?limit=2").body
    two = ada.ask("GET", f"/v1/notifications?limit=2&after={one['next']}").body
    assert [each["title"] for each in one["items"] + two["items"]][:3] == ["t2", "t1", "t0"]


def test_settings_are_the_users_own(environment: RunningEnvironment, ada: Ada) -> None:
    shown = ada.ask("GET", "/v1/notifications/preferences").body
    assert shown["enabled"] is True
    assert shown["included_emails"] is None
    categories = ada.ask("GET", "/v1/notifications/categories").body["items"]
    assert len(categories) == 17
    assert {each["name"] for each in categories if each["mandatory"]} == {"account-security"}
    changed = {**shown, "categories": {"system-alert": {"enabled": True, "to_emails": False, "daily_limit": 50}}}
    assert ada.ask("PUT", "/v1/notifications/preferences", changed).status == 200
    receipts = settled(environment, alert(environment, ada).body["id"])
    assert receipts["email"]["reason"] == "the channel is switched off for the category"
    for wrong, pointer in (
        ({"categories": {"system-alerts": {}}}, "/categories/system-alerts"),
        ({"categories": {"account-security": {"enabled": False}}}, "/categories/account-security/enabled"),
        ({"included_emails": ["eve@example.com"]}, "/included_emails/0"),
        ({"enabled": "maybe"}, "/enabled"),
    ):
        refused = ada.ask("PUT", "/v1/notifications/preferences", wrong)
        assert (refused.status, refused.body["errors"][0]["pointer"]) == (400, pointer)
    assert ada.ask("PUT", "/v1/notifications/preferences", shown).status == 200
    other = environment.post("/v1/users", {"email": "bob@example.com"}).body["id"]
    assert ada.ask("GET", f"/v1/notifications/preferences?user={other}").status == 403
    assert environment.get(f"/v1/notifications/preferences?user={other}").status == 200
    assert environment.get("/v1/notifications").status == 404  # the operator's key has no inbox
    assert ada.ask("POST", "/v1/notifications", {"category": "award", "to": {"users": [other]}}).status == 403


def test_the_link_in_a_mail_ends_mails_like_it(environment: RunningEnvironment, ada: Ada) -> None:
    receipts = settled(environment, alert(environment, ada).body["id"])
    name = receipts["email"]["provider_id"].encode()
    (mail,) = [each for path in environment.state.mail.glob("*.eml") if name in (each := path.read_bytes())]
    found = re.search(rb"^List-Unsubscribe: <https://core\.example\.com(\S+)>\r$", mail, re.MULTILINE)
    assert found is not None
    path = found[1].decode()
    with urllib.request.urlopen(environment.url + path, timeout=10) as page:
        shown = page.read().decode()
        assert "form-action 'self'" in page.headers["content-security-policy"]
    assert 'form method="post"' in shown
    assert "ada@example.com" in shown
    before = ada.ask("GET", "/v1/notifications/preferences").body
    assert before["categories"] == {}  # a GET changes nothing
    for _ in range(2):
        request = urllib.request.Request(environment.url + path, b"List-Unsubscribe=One-Click", method="POST")
        with urllib.request.urlopen(request, timeout=10) as done:
            assert done.status == 200
    after = ada.ask("GET", "/v1/notifications/preferences").body
    assert after["categories"]["system-alert"]["to_emails"] is False
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(environment.url + path[:-3], timeout=10)
    assert ada.ask("PUT", "/v1/notifications/preferences", before).status == 200


def test_a_provider_reports_over_http(environment: RunningEnvironment, ada: Ada) -> None:
    from runtime.services.notifications.channels.signature import signed

    receipts = settled(environment, alert(environment, ada).body["id"])
    report = {"events": [{"type": "delivered", "message_id": receipts["email"]["provider_id"]}]}
    path = "/v1/notifications/callbacks/email"
    assert environment.request("POST", path, report, headers={"Authorization": ""}).status == 403
    headers = signed("whsec_c2VjcmV0", "evt-1", json.dumps(report).encode())
    taken = environment.request("POST", path, report, headers={"Authorization": "", **headers})
    assert (taken.status, taken.body) == (200, {"taken": 1})
    assert settled(environment, receipts["email"]["notification"])["email"]["status"] == "delivered"


async def test_the_inbox_over_the_websocket(environment: RunningEnvironment, ada: Ada) -> None:
    def live() -> Any:
        headers = {"Authorization": f"Bearer {ada.key}"}
        return connect(environment.url.replace("http", "ws") + "/v1/live", additional_headers=headers)

    async def told(socket: Any) -> Any:
        async with asyncio.timeout(10):
            return json.loads(await socket.recv())

    async with live() as socket:
        await socket.send(json.dumps({"follow": "notifications:inbox"}))
        following = await told(socket)
        assert following["state"] == "following"
        answer = await asyncio.to_thread(alert, environment, ada, data={"title": "Live", "text": "x"})
        heard = await told(socket)
        assert (heard["type"], heard["data"]["title"]) == ("system-alert", "Live")
        await socket.send(json.dumps({"follow": "notifications:outbox"}))
        assert (await told(socket))["error"]["title"] == "Not found"
    receipts = await asyncio.to_thread(settled, environment, answer.body["id"])
    assert receipts["email"]["reason"] == "the user is online"
    await asyncio.to_thread(alert, environment, ada, data={"title": "Missed", "text": "x"})
    async with live() as socket:
        await socket.send(json.dumps({"follow": "notifications:inbox", "after": heard["cursor"]}))
        assert (await told(socket))["cursor"] == heard["cursor"]
        titles = [(await told(socket))["data"]["title"]]
        while titles[-1] != "Missed":
            titles.append((await told(socket))["data"]["title"])


def test_a_browser_subscribes_gets_a_message_and_leaves(environment: RunningEnvironment, ada: Ada) -> None:
    path = "/v1/notifications/push-subscriptions"
    vapid = ada.ask("GET", "/v1/notifications/vapid").body
    key = environment.state.path / "keys" / "vapid.pem"
    assert key.is_file()
    with push_service() as service:
        browser = service.browser()
        shown = browser.subscription(applicationServerKey=vapid["public_key"], expirationTime=None, device="phone")
        made = ada.ask("POST", path, shown)
        assert (made.status, made.body["device"], made.body["current"]) == (201, "phone", True)
        assert browser.path not in json.dumps(made.body)
        receipts = settled(environment, alert(environment, ada, link="https://app.example.com/7").body["id"])
        assert (receipts["push"]["status"], receipts["push"]["address"]) == ("sent", made.body["id"])
        (came,) = service.requests
        message = browser.opened(came.body)
        assert (message["title"], message["link"], came.key) == (
            "Disk",
            "https://app.example.com/7",
            vapid["public_key"],
        )
        (kept,) = ada.ask("GET", path).body["items"]
        assert kept["used_at"] is not None
        assert environment.get(f"{path}?user={ada.id}").body["items"] == [kept]
        service.answers[browser.path] = [(410, {})]
        receipts = settled(environment, alert(environment, ada).body["id"])
        assert receipts["push"]["status"] == "failed"
        assert ada.ask("GET", path).body["items"] == []
        again = ada.ask("POST", path, shown).body["id"]
    assert ada.ask("DELETE", f"{path}?id={again}").status == 204
    assert ada.ask("DELETE", f"{path}?id={again}").status == 404
    assert ada.ask("GET", path).body["items"] == []
    refused = ada.ask("POST", path, {**shown, "endpoint": "ftp://x", "expirationTime": 1e30})
    assert (refused.status, refused.body["errors"][0]["pointer"]) == (400, "/expirationTime")
    refused = ada.ask("POST", path, {**shown, "endpoint": "ftp://x"})
    assert (refused.status, refused.body["errors"][0]["pointer"]) == (400, "/endpoint")
    assert ada.ask("GET", f"{path}?user=another").status == 403


def test_the_key_of_push_messages_is_rotated_without_a_restart(environment: RunningEnvironment, ada: Ada) -> None:
    path, spec = "/v1/notifications/push-subscriptions", str(environment.state.path.parent / "spec.yaml")
    with push_service() as service:
        before, made = ada.ask("GET", "/v1/notifications/vapid").body, []
        for browser in (service.browser("old"), service.browser("new")):
            made.append(ada.ask("POST", path, browser.subscription()).body["id"])
            if browser.path == "/push/old":
                line = [sys.executable, "-m", "runtime", "keys", "rotate", spec, "vapid"]
                said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
                assert re.search(rf"^{re.escape(before['id'])} +1 subscriptions$", said, re.MULTILINE)
        after = ada.ask("GET", "/v1/notifications/vapid").body
        assert [each["current"] for each in ada.ask("GET", path).body["items"]] == [False, True]
        settled(environment, alert(environment, ada).body["id"])
        keys = {each.path: each.key for each in service.requests}
        assert keys == {"/push/old": before["public_key"], "/push/new": after["public_key"]}
    for each in made:
        ada.ask("DELETE", f"{path}?id={each}")
    assert ada.ask("POST", "/v1/notifications/vapid/rotate").status == 403
    assert environment.get("/v1/notifications/vapid/keys").body["items"] == [
        {"id": after["id"], "current": True, "subscriptions": 0}
    ]


def test_a_task_tells_it_once_however_often_it_runs(environment: RunningEnvironment, ada: Ada) -> None:
    job = environment.run_job("tell", {"user": ada.id})
    assert job["status"] == "completed", job
    assert settled(environment, job["result"]["id"])["in_app"]["status"] == "sent"


def test_what_is_kept_of_a_user_goes_with_the_account(environment: RunningEnvironment) -> None:
    bob = environment.post("/v1/users", {"email": "zed@example.com", "verified": True}).body["id"]
    assert environment.request("PUT", f"/v1/notifications/preferences?user={bob}", {"to_push": False}).status == 200
    assert environment.request("PUT", f"/v1/notifications/topics/project:7/subscribers/{bob}").status == 204
    data = {"title": "Disk", "text": "It is almost full."}
    told = environment.post(
        "/v1/notifications", {"category": "system-alert", "to": {"users": [bob]}, "data": data}
    ).body["id"]
    settled(environment, told)
    assert environment.request("DELETE", f"/v1/users/{bob}").status == 204
    with closing(sqlite3.connect(f"file:{next(environment.state.path.glob('*.db'))}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        left = {
            name: rows
            for name in tables
            if (rows := [row for row in database.execute(f'SELECT * FROM "{name}"') if bob in map(str, row)])
        }
    assert set(left) == {"notification_deliveries"}, left  # the receipts, without their addresses
    assert "zed@example.com" not in str(left)


def test_what_is_wrong_is_said(environment: RunningEnvironment, ada: Ada) -> None:
    to = {"users": [ada.id]}
    for body, status, pointer in (
        ({"category": "system-alert", "to": to, "data": {"title": "x"}}, 400, "/data/text"),
        (
            {"category": "system-alert", "to": {"users": ["nobody"]}, "data": {"title": "x", "text": "y"}},
            400,
            "/to/users/0",
        ),
        ({"category": "system-alert", "to": {}, "data": {"title": "x", "text": "y"}}, 400, "/to"),
        ({"category": "system-alert", "to": to, "delays": ["soon"]}, 400, "/delays/0"),
        ({"category": "system-alert", "to": {"everybody": True}}, 400, None),
        ({"category": "sytem-alert", "to": to}, 404, None),
    ):
        refused = environment.post("/v1/notifications", body)
        assert refused.status == status, refused
        if pointer is not None:
            assert refused.body["errors"][0]["pointer"] == pointer
    assert environment.get("/v1/notifications/none/deliveries").status == 404


def test_by_hand(environment: RunningEnvironment) -> None:
    spec = str(environment.state.path.parent / "spec.yaml")

    def notify(*words: str) -> str:
        line = [sys.executable, "-m", "runtime", "notify", *words]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout

    data = json.dumps({"title": "Disk", "text": "It is almost full."})
    shown = notify("preview", spec, "system-alert", "--data", data)
    assert "Alert: Disk" in shown
    assert "It is almost full." in shown
    words = ["--email", "eve@example.com", "--data", data, "--key", "by-hand", "--delay", "1d", "--mode", "forced"]
    sent = json.loads(notify("send", spec, "system-alert", *words, "--json"))
    assert json.loads(notify("send", spec, "system-alert", *words, "--json")) == {**sent, "known": True}
    settled(environment, sent["id"])
    assert re.search(r"^email +sent +eve@example\.com$", notify("receipts", spec, sent["id"]), re.MULTILINE)
    assert "eve@example.com" in notify("mails", spec)
    assert re.search(r"^[\w-]{87}$", notify("vapid", spec), re.MULTILINE)


def test_health_and_metrics_tell_of_it(environment: RunningEnvironment) -> None:
    details = environment.get("/healthz").body["services"]["notifications"]["details"]["notifications"]
    assert details["breakers"] == {"email": "closed", "push": "closed"}
    assert details["ended"]["email sent"] >= 1
    figures = environment.get("/metrics").body
    assert re.search(r'^runtime_notification_deliveries_total\{kind="email",status="sent"\} \d', figures, re.MULTILINE)
