"""Ships a parcel: makes a user, tells them, and prints what became of it on each channel.

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
        return json.load(answer)


def ship(url: str, key: str, email: str, order: str) -> list[dict[str, Any]]:
    """Tells the user of an address that an order is on its way; the receipts, once none of them waits."""
    users = call(url, key, "GET", "/v1/users")["items"]
    known = [user["id"] for user in users if user["email"] == email]
    id_ = known[0] if known else call(url, key, "POST", "/v1/users", {"email": email, "verified": True})["id"]
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
    key = (HERE / ".runtime" / "operator.key").read_text().strip()
    for receipt in ship(url, key, "ada@example.com", "4711"):
        where = receipt["address"] or "inbox"
        print(f"{receipt['kind']:<7} {receipt['status']:<10} {where:<18} {receipt['reason']}".rstrip())


if __name__ == "__main__":
    main()
