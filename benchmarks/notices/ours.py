"""The environment that is measured, on SQLite and the embedded server, and one event to all of its users."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil

from benchmarks.notices.doors import BODY, TITLE
from benchmarks.notices.libraries import phone
from benchmarks.notices.receivers import ACCOUNT, SENDER, TOKEN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.notices.doors import Doors
    from runtime.testing import RunningEnvironment

ROOT = Path(__file__).resolve().parents[2]
DATA = {"title": TITLE, "text": BODY}
PATIENCE = 120.0
"""Seconds until a round must have ended."""


def spec(folder: Path, doors: Doors, ways: Mapping[str, Sequence[str]], places: Mapping[str, int]) -> Path:
    """The development environment with real receivers and a category for each way.

    Args:
        ways: by the category's name, its channels.
        places: by queue, how many jobs run at once; of mail, the connections too.
    """
    templates = folder / "templates"
    shutil.copytree(ROOT / "specs" / "templates", templates)
    (templates / "system-alert" / "sms.txt").write_text("{{ title }}: {{ text }}")
    mail = {"host": "127.0.0.1", "port": doors.smtp, "tls": "none", "connections": places["email"]}
    sms = {"provider": "twilio", "account": ACCOUNT, "token": TOKEN, "from": SENDER, "base_url": doors.origin}
    template = str(templates / "system-alert")
    overlay = {
        "extends": str(ROOT / "specs" / "development.yaml"),
        "api": {"public_url": "https://core.example.com", "rate_limit": "1000000/m"},
        "observability": {"logs": {"level": "warning"}},
        "queues": {
            "email": {"concurrency": places["email"]},
            "push": {"concurrency": places["push"]},
            "sms": {"concurrency": places["sms"], "rate": "1000000/m"},
        },
        "notifications": {
            "channels": {"email": mail, "push": {"private_endpoints": True}, "sms": {"kind": "http", **sms}},
            "categories": {
                name: {"channels": list(kinds), "template": template, "urgency": "high"} for name, kinds in ways.items()
            },
        },
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps(overlay))
    return path


class Ours:
    """An environment that runs, and its users."""

    def __init__(self, at: RunningEnvironment, doors: Doors) -> None:
        self._at = at
        self._doors = doors
        self._process = psutil.Process(at.process.pid)
        self.database = next(at.state.path.glob("*.db"))
        self.cache = at.state.redis / "valkey.sock"

    def settle(self, users: int, browser: Mapping[str, str]) -> None:
        """Makes users, each with an address, a browser and a phone, and waits until their invitations have gone out.

        The phones are written into the database: to prove each by a code is no part of what is measured.
        """
        people = []
        with httpx.Client(base_url=self._at.url, headers={"Authorization": f"Bearer {self._at.key}"}) as client:
            for number in range(users):
                made = client.post("/v1/users", json={"email": f"u{number}@example.com", "verified": True})
                people.append(made.raise_for_status().json()["id"])
                body = {"endpoint": f"{self._doors.origin}/push/{number}", "keys": dict(browser)}
                where = "/v1/notifications/push-subscriptions"
                client.post(where, params={"user": people[-1]}, json=body).raise_for_status()
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        rows = [(id_, phone(number), now) for number, id_ in enumerate(people)]
        with sqlite3.connect(self.database, timeout=10) as connection:
            connection.executemany('INSERT INTO user_phones ("user", phone, verified_at) VALUES (?, ?, ?)', rows)
        deadline = time.monotonic() + PATIENCE
        while self._doors.mailed() < users:
            if time.monotonic() > deadline:
                raise SystemExit("the invitations of the users do not arrive")
            time.sleep(0.1)

    def tell(self, way: str, kinds: Sequence[str], users: int) -> dict[str, float]:
        """One event to everybody, until the last receipt is written.

        Returns:
            Seconds until the call was answered and until the end, CPU of the main process in between.
        """
        cpu, begin = sum(self._process.cpu_times()[:2]), time.perf_counter()
        answer = self._at.post("/v1/notifications", {"category": way, "to": {"all": True}, "data": DATA})
        taken = time.perf_counter() - begin
        assert answer.status == 202, answer
        id_ = answer.body["id"]
        while (receipts := self._receipts(id_)).get("sent", 0) < users * len(kinds):
            if time.perf_counter() - begin > PATIENCE or set(receipts) - {"queued", "sending", "sent"}:
                raise SystemExit(f"{way}: receipts {receipts} of {users} users\n{self._at.output[-2000:]}")
            time.sleep(0.02)
        seconds = time.perf_counter() - begin
        used = sum(self._process.cpu_times()[:2]) - cpu
        found = self._row(
            "SELECT count(*), count(DISTINCT recipient) FROM notification_inbox WHERE notification = ?", id_
        )
        assert found == ((users, users) if "in_app" in kinds else (0, 0)), found
        assert sum(self._receipts(id_).values()) == users * len(kinds)
        return {"taken": taken, "seconds": seconds, "cpu": used}

    def single(self, rounds: int = 200) -> list[float]:
        """Seconds of calls to one address each, stored with its receipt, in order."""
        found = []
        for number in range(rounds):
            to = {"emails": [f"p{number}@example.com"]}
            begin = time.perf_counter()
            self._at.post("/v1/notifications", {"category": "email", "to": to, "data": DATA})
            found.append(time.perf_counter() - begin)
        return sorted(found)

    def preview(self) -> dict[str, str]:
        """The mail as users see it."""
        answer: Any = self._at.post("/v1/notifications/preview", {"category": "email", "data": DATA})
        return {name: answer.body[name] for name in ("subject", "text", "html")}

    def tables(self) -> list[str]:
        """The statements that make an inbox as ours is."""
        query = (
            "SELECT sql FROM sqlite_master WHERE tbl_name = 'notification_inbox' AND sql NOT NULL ORDER BY type DESC"
        )
        with sqlite3.connect(self.database) as connection:
            return [sql for (sql,) in connection.execute(query)]

    def memory(self) -> float:
        """Megabytes of the main process."""
        return self._process.memory_info().rss / 1e6

    def _receipts(self, id_: str) -> dict[str, int]:
        query = "SELECT status, count(*) FROM notification_deliveries WHERE notification = ? GROUP BY status"
        with sqlite3.connect(self.database, timeout=10) as connection:
            return dict(connection.execute(query, (id_,)).fetchall())

    def _row(self, query: str, id_: str) -> tuple[int, ...]:
        with sqlite3.connect(self.database, timeout=10) as connection:
            row: tuple[int, ...] = connection.execute(query, (id_,)).fetchone()
            return row
