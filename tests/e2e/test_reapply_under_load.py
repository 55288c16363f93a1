"""A running environment takes one spec after another under steady load: nothing is refused, lost or done twice."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil

from runtime.testing import running
from tests.load import Load, await_counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.testing import RunningEnvironment

APPLIES = 20
TASKS = """
import os
from runtime import Event, JobContext, subscriber, task

def note(name: str, number: int) -> None:
    with open(os.path.join(os.environ["COUNTED"], name), "a") as file:
        file.write(f"{number}\\n")

@task("count")
async def count(job: JobContext, payload: dict) -> None:
    note("jobs", payload["number"])

@subscriber("count.events")
async def count_events(event: Event) -> None:
    note("events", event.data["number"])
"""


def spec(number: int) -> dict[str, Any]:
    """The spec of the n-th apply: each differs from the one before in several ways."""
    queues: dict[str, Any] = {"counted": {"handler": "count", "concurrency": 2 + number % 5}}
    if number % 3 == 1:
        queues["passing"] = {"handler": "count", "timeout": f"{number + 1}s"}
    providers = {"echo": {"kind": "echo"}, **({"second": {"kind": "echo"}} if number % 4 == 2 else {})}
    return {
        "version": 1,
        "name": "reapply",
        "plugins": ["counting"],
        "storage": {"redis": "embedded"},
        "api": {"port": 0, "rate_limit": f"{100_000 + number}/m"},
        "queues": queues,
        "ai": {"providers": providers},
        "events": {
            "streams": {"notes": {"events": {"note.made": {}}}},
            "subscriptions": {"count": {"stream": "notes", "handler": "count.events", "concurrency": 1 + number % 2}},
        },
        "observability": {"logs": {"level": "warning" if number % 2 else "error"}},
    }


class Calls:
    """Calls over connections that stay open, as clients have them."""

    def __init__(self, environment: RunningEnvironment) -> None:
        self.done = 0
        self.published: list[int] = []
        self.failed: list[str] = []
        self._environment = environment
        self._over = threading.Event()

    @contextmanager
    def flowing(self) -> Iterator[Calls]:
        threads = [threading.Thread(target=self._run, args=[first]) for first in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _run(self, first: int) -> None:
        address = urlsplit(self._environment.url).netloc
        headers = {"Authorization": f"Bearer {self._environment.key}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(address, timeout=20)
        for number in itertools.count(first, 2):
            if self._over.is_set():
                break
            body = json.dumps({"type": "note.made", "data": {"number": number}})
            try:
                connection.request("POST", "/v1/streams/notes/events", body, headers)
                answer = connection.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"{number}: {type(error).__name__}: {error}")
                connection.close()
                continue
            if answer.status == 202:
                self.done += 1
                self.published.append(number)
            else:
                self.failed.append(f"{number}: {answer.status} {said[:300]!r}")
        connection.close()


def test_twenty_applies_under_load(tmp_path: Path) -> None:
    folder, counted = tmp_path / "spec", tmp_path / "counted"
    folder.mkdir()
    counted.mkdir()
    (folder / "counting.py").write_text(TASKS)
    file = folder / "spec.yaml"
    file.write_text(json.dumps(spec(0)))
    with running(file, environ={"COUNTED": str(counted)}) as environment:
        memory = psutil.Process(environment.process.pid).memory_info
        load, calls = Load(environment), Calls(environment)
        sizes = []
        with load.flowing(), calls.flowing():
            load.await_flow()
            for number in range(1, APPLIES + 1):
                file.write_text(json.dumps(spec(number)))
                applied = environment.post("/v1/runtime/apply", None)
                assert applied.status == 200, applied.body
                assert applied.body["revision"] == number + 1
                load.await_flow(40)
                sizes.append(round(memory().rss / 1e6, 1))
        assert load.refused == 0
        assert calls.failed == []
        jobs = await_counted(counted / "jobs", load.acknowledged)
        assert set(jobs.values()) == {1}
        events = await_counted(counted / "events", calls.published)
        assert set(events.values()) == {1}
        names = {queue["name"] for queue in environment.get("/v1/queues").body["items"]}
        assert "counted" in names
        assert "passing" not in names
        assert sizes[-1] - sizes[4] < 12, sizes
