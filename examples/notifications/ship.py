"""Ships a parcel: makes a user with a phone, tells them, and prints what became of it on each channel.

python examples/notifications/ship.py        (while `runtime apply examples/notifications/spec.yaml` runs)
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def call(url: str, key: str, method: str, path: str, body: Any = None) -> Any:
    """What the environment answers."""
    request = urllib.request.Request(url + path, method=method, data=json.dumps(body).encode() if body else None)
    request.add_header("Authorization", f"Bearer {key}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


def user_of(url: str, key: str, email: str) -> str:
    """The id of the user of an address, who is made where there is none."""
    users = call(url, key, "GET", "/v1/users")["items"]
    known: list[str] = [user["id"] for user in users if user["email"] == email]
    return known[0] if known else str(call(url, key, "POST", "/v1/users", {"email": email, "verified": True})["id"])


def prove_phone(url: str, key: str, email: str, phone: str, caught: Path) -> None:
    """Gives a user a phone, and proves it with the code that is texted to it; a user does that in a profile page.

    Args:
        caught: the folder of the text messages.
    """
    scopes = ["account:read", "account:write"]
    owner = f"user:{user_of(url, key, email)}"
    own = call(url, key, "POST", "/v1/api-keys", {"name": "phone", "scopes": scopes, "owner": owner})
    if not any(each["verified_at"] for each in call(url, own["key"], "GET", "/v1/profile")["phones"]):
        before = set(caught.glob("*.txt"))
        call(url, own["key"], "PUT", "/v1/profile", {"phones": [phone]})
        while not (came := set(caught.glob("*.txt")) - before):
            time.sleep(0.05)
        code = came.pop().read_text().partition("code for your phone is ")[2].partition(".")[0]
        call(url, own["key"], "POST", "/v1/profile/phones/verify", {"phone": phone, "code": code})
    call(url, key, "DELETE", f"/v1/api-keys/{own['id']}")


def ship(url: str, key: str, email: str, order: str) -> list[dict[str, Any]]:
    """Tells the user of an address that an order is on its way; the receipts, once none of them waits."""
    id_ = user_of(url, key, email)
    told = call(
        url,
        key,
        "POST",
        "/v1/notifications",
        {
            "category": "order-shipped",
            "to": {"users": [id_]},
            "data": {"count": 2, "arrives": "2026-03-01"},
            "link": f"https://parcels.example.com/{order}",
            "key": f"shipped-{order}",  # run it twice: it is told once
        },
    )
    while True:
        receipts: list[dict[str, Any]] = call(url, key, "GET", f"/v1/notifications/{told['id']}/deliveries")["items"]
        if not any(receipt["status"] in ("queued", "sending") for receipt in receipts):
            return receipts
        time.sleep(0.05)


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
    state = HERE / ".runtime"
    key = (state / "operator.key").read_text().strip()
    prove_phone(url, key, "ada@example.com", "+436601234567", state / "sms")
    for receipt in ship(url, key, "ada@example.com", "4711"):
        where = receipt["address"] or ("inbox" if receipt["kind"] == "in_app" else "nowhere")
        print(f"{receipt['kind']:<7} {receipt['status']:<10} {where:<18} {receipt['reason']}".rstrip())


if __name__ == "__main__":
    main()
