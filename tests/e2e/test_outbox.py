"""Jobs and events together with the database, through the real command."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLUGIN = """
from runtime import Event, JobContext, Transaction, subscriber, task

@task("orders.pay")
async def pay(job: JobContext, order: dict) -> None:
    async with job.transaction() as tx:
        await tx.execute("CREATE TABLE IF NOT EXISTS paid (number INTEGER)")
        await tx.execute("INSERT INTO paid VALUES (:number)", order)
        await tx.publish("orders", "order.paid", order)
        if order["number"] == 2:
            raise ValueError("no money")

@subscriber("orders.count", once=True)
async def count(event: Event, tx: Transaction) -> None:
    await tx.execute("CREATE TABLE IF NOT EXISTS counted (number INTEGER)")
    await tx.execute("INSERT INTO counted VALUES (:number)", event.data)
"""
SPEC = {
    "version": 1,
    "name": "shop",
    "plugins": ["orders"],
    "queues": {"pay": {"handler": "orders.pay", "retry": {"attempts": 1}}},
    "events": {
        "streams": {"orders": {"events": {"order.paid": {}}}},
        "subscriptions": {"count": {"stream": "orders", "handler": "orders.count", "from": "beginning"}},
    },
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningEnvironment, Path]]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "orders.py").write_text(PLUGIN)
    database = {"database": f"sqlite:///{folder}/shop.db"}
    (folder / "spec.yaml").write_text(json.dumps({**SPEC, "storage": database}))
    with running(folder / "spec.yaml") as environment:
        yield environment, folder / "shop.db"


def sql(database: Path, query: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(database, timeout=10)) as connection, connection:
        return connection.execute(query, values).fetchall()


def rows(database: Path, table: str, count: int) -> list[Any]:
    """Waits until a table has so many rows."""
    deadline = time.monotonic() + 15
    while True:
        try:
            if len(found := sql(database, f"SELECT * FROM {table}")) >= count:
                return found
        except sqlite3.OperationalError:
            pass  # the table is not there yet
        assert time.monotonic() < deadline, f"{table} has not {count} rows"
        time.sleep(0.02)


def test_what_a_task_commits_reaches_the_subscriber_once(environment: tuple[RunningEnvironment, Path]) -> None:
    at, database = environment
    for number in (1, 2, 3):
        assert at.post("/v1/queues/pay/jobs", {"payload": {"number": number}}).status == 202
    assert sorted(rows(database, "counted", 2)) == [(1,), (3,)]
    assert sorted(rows(database, "paid", 2)) == [(1,), (3,)]
    assert len(at.get("/v1/streams/orders/events").body["items"]) == 2
    assert len(rows(database, "inbox", 2)) == 2


def test_what_cannot_be_delivered_is_shown_and_sent_again(environment: tuple[RunningEnvironment, Path]) -> None:
    at, database = environment
    body = json.dumps({"type": "order.lost", "data": {"number": 9}, "key": None, "id": "lost"})
    insert = "INSERT INTO outbox (name, lane, body, dead, created_at) VALUES (?, 'events:orders', ?, 0, ?)"
    sql(database, insert, "lost", body, "2026-01-01 00:00:00")
    deadline = time.monotonic() + 15
    while not (found := at.get("/v1/outbox/dead").body["items"]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (dead,) = found
    assert (dead["to"], dead["content"]["data"]) == ("events:orders", {"number": 9})
    assert dead["error"] == 'no event type "order.lost" in the stream "orders"'
    while (health := at.get("/healthz").body["services"]["outbox"])["status"] != "degraded":  # it is a moment old
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert health["details"]["outbox"]["dead"] == 1
    sql(database, "UPDATE outbox SET body = ?", body.replace("order.lost", "order.paid"))
    assert at.post("/v1/outbox/dead/replay", {"ids": [dead["id"]]}).body == {"replayed": 1}
    assert (9,) in rows(database, "counted", 3)
    assert at.get("/v1/outbox/dead").body["items"] == []


def test_the_calls_need_the_operator(environment: tuple[RunningEnvironment, Path]) -> None:
    at, _ = environment
    assert at.get("/v1/outbox/dead?after=nonsense").status == 400
    assert at.post("/v1/outbox/dead/replay", {"ids": []}).status == 400
