"""Ships a parcel: tells a user, and prints what became of it on each channel and what arrived there.

python examples/notifications/ship.py        (while parts.py and the environment run)
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MAILDEV, PUSH = "http://127.0.0.1:1080", "http://127.0.0.1:8090"
NUMBER = "+436601234567"


def ask(url: str, body: Any = None, key: str = "", method: str | None = None) -> Any:
    """What a server answers."""
    request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None, method=method)
    request.add_header("Content-Type", "application/json")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


def user(url: str, key: str, email: str) -> str:
    """The id of an address' user, who is made where there is none."""
    for known in ask(f"{url}/v1/users", key=key)["items"]:
        if known["email"] == email:
            return str(known["id"])
    return str(ask(f"{url}/v1/users", {"email": email, "verified": True}, key)["id"])


def browser(url: str, key: str, user: str, push: str) -> str:
    """Subscribes a browser of the push service for a user, as a page does; returns its name there."""
    public = ask(f"{url}/v1/notifications/vapid", key=key)["public_key"]
    made = ask(f"{push}/subscribe", {"userVisibleOnly": "true", "applicationServerKey": public})["data"]
    subscription = {"endpoint": made["endpoint"], "keys": made["keys"], "applicationServerKey": public}
    ask(f"{url}/v1/notifications/push-subscriptions?user={user}", {**subscription, "device": "browser"}, key)
    return str(made["clientHash"])


def phone(url: str, key: str, user: str, number: str, caught: Path) -> None:
    """Gives a user a phone, and proves it with the code that is texted to it; a user does that on a page.

    Args:
        caught: the folder of the text messages.
    """
    scopes = ["account:read", "account:write"]
    own = ask(f"{url}/v1/api-keys", {"name": "phone", "scopes": scopes, "owner": f"user:{user}"}, key)
    if not any(each["verified_at"] for each in ask(f"{url}/v1/profile", key=own["key"])["phones"]):
        before = set(caught.glob("*.txt"))
        ask(f"{url}/v1/profile", {"phones": [number]}, own["key"], "PUT")
        while not (came := set(caught.glob("*.txt")) - before):
            time.sleep(0.05)
        code = came.pop().read_text().partition("code for your phone is ")[2].partition(".")[0]
        ask(f"{url}/v1/profile/phones/verify", {"phone": number, "code": code}, own["key"])
    ask(f"{url}/v1/api-keys/{own['id']}", key=key, method="DELETE")


def ship(url: str, key: str, user: str, order: str) -> list[dict[str, Any]]:
    """Tells a user that an order is on its way; the receipts, once none of them waits."""
    notification = {
        "category": "order-shipped",
        "to": {"users": [user]},
        "data": {"count": 2, "arrives": "2026-03-01"},
        "link": f"https://parcels.example.com/{order}",
        "key": f"shipped-{order}",  # run it twice: it is told once
    }
    told = ask(f"{url}/v1/notifications", notification, key)
    while True:
        receipts: list[dict[str, Any]] = ask(f"{url}/v1/notifications/{told['id']}/deliveries", key=key)["items"]
        if not any(receipt["status"] in ("queued", "sending") for receipt in receipts):
            return receipts
        time.sleep(0.05)


def main(url: str, state: Path, maildev: str = MAILDEV, push: str = PUSH) -> None:
    """Does it once, and prints."""
    key = (state / "operator.key").read_text().strip()
    ada = user(url, key, "ada@example.com")
    phone(url, key, ada, NUMBER, state / "sms")
    there = browser(url, key, ada, push)
    for receipt in ship(url, key, ada, f"{time.time():.0f}"):
        where = "" if receipt["kind"] == "in_app" else receipt["address"]
        print(f"{receipt['kind']:<7} {receipt['status']:<10} {where} {receipt['reason']}".rstrip())
    mail = ask(f"{maildev}/email")[-1]
    print(f"\nThe mail:  {mail['subject']}, to {mail['to'][0]['address']}; it is seen at {maildev}")
    for message in ask(f"{push}/get-notifications", {"clientHash": there})["data"]["messages"]:
        print(f"The push:  {message}")
    print(f"The text:  {max((state / 'sms').glob('*.txt')).read_text().splitlines()[-1]}")


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080",
        HERE / ".runtime",
    )
