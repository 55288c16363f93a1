"""A running environment takes a changed spec: by the command line, over HTTP, by SIGHUP; and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runtime.testing import Answer, RunningEnvironment

SPEC: dict[str, Any] = {
    "version": 1,
    "name": "changing",
    "plugins": ["counting"],
    "storage": {"redis": "embedded"},
    "queues": {"counted": {"handler": "count", "concurrency": 2}},
    "ai": {"providers": {"echo": {"kind": "echo"}}},
}
TASKS = """
from runtime import JobContext, task

@task("count")
async def count(job: JobContext, payload: dict) -> int:
    return payload["number"]
"""


class Changing:
    """An environment, and the file that its own extends."""

    def __init__(self, environment: RunningEnvironment, file: Path) -> None:
        self.environment = environment
        self.file = file

    def write(self, **sections: Any) -> None:
        self.file.write_text(json.dumps({**SPEC, **sections}))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        command, *options = words
        answer = subprocess.run(
            [sys.executable, "-m", "runtime", command, str(self.environment.spec), *options],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in answer.stdout + answer.stderr
        return answer

    def apply(self, **headers: str) -> Answer:
        return self.environment.request("POST", "/v1/runtime/apply", headers=headers)

    @property
    def revision(self) -> int:
        return int(self.environment.get("/v1/runtime").body["revision"])

    @property
    def concurrency(self) -> int:
        return int(self.environment.get("/v1/queues/counted").body["concurrency"])

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not true():
            assert time.monotonic() < deadline, self.environment.output[-3000:]
            time.sleep(0.05)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Changing]:
    folder = tmp_path_factory.mktemp("changing")
    (folder / "counting.py").write_text(TASKS)
    (folder / "spec.yaml").write_text(json.dumps(SPEC))
    with running(folder / "spec.yaml") as environment:
        yield Changing(environment, folder / "spec.yaml")


@pytest.fixture
def changing(everything: Changing) -> Iterator[Changing]:
    """The environment as it was booted."""
    everything.write()
    assert everything.apply().status == 200
    yield everything
    assert everything.environment.run_job("counted", {"number": 7})["result"] == 7


def queues(**counted: Any) -> dict[str, Any]:
    return {"counted": {**SPEC["queues"]["counted"], **counted}}


@contextmanager
def taken() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def mailbox(port: int) -> dict[str, Any]:
    return {"channels": {"email": {"kind": "smtp", "host": "embedded", "port": port, "from": "a@example.com"}}}


def test_a_live_change_by_the_command_line(changing: Changing) -> None:
    before = changing.revision
    changing.write(queues=queues(concurrency=9))
    planned = changing.command("plan", "--exit-code", "--json")
    plan = json.loads(planned.stdout)
    assert planned.returncode == 4
    assert [(step["action"], step["id"]) for step in plan["steps"]] == [("update", "jobs"), ("update", "jobs.counted")]
    assert changing.concurrency == 2
    applied = changing.command("apply")
    assert applied.returncode == 0, applied.stderr
    assert "~ jobs.counted  concurrency changed, live" in applied.stdout
    assert f"Revision {before + 1} holds" in applied.stdout
    assert changing.concurrency == 9
    again = changing.command("apply")
    assert again.returncode == 0
    assert f"Revision {before + 1} runs; no component changes." in again.stdout
    assert changing.command("plan", "--exit-code").returncode == 0
    assert changing.environment.url in changing.command("status").stdout


def test_a_queue_comes_and_goes(changing: Changing) -> None:
    changing.write(queues={**queues(), "further": {"handler": "count"}})
    changing.apply()
    assert changing.environment.run_job("further", {"number": 3})["result"] == 3
    changing.environment.post("/v1/queues/further/jobs", {"payload": {"number": 4}, "delay": "1h"})
    changing.write()
    planned = changing.command("plan").stdout
    assert "- jobs.further  the spec no longer declares it" in planned
    assert "queues.further: 1 job waits there until the queue is declared again" in planned
    changing.apply()
    assert changing.environment.get("/v1/queues/further").status == 404
    changing.write(queues={**queues(), "further": {"handler": "count"}})
    changing.apply()
    assert changing.environment.get("/v1/queues/further").body["scheduled"] == 1


def test_a_changed_queue_runs_what_its_new_section_says(changing: Changing) -> None:
    changing.write(queues=queues(retry={"attempts": 1}, timeout="7s"))
    assert [step["action"] for step in changing.apply().body["steps"]] == ["replace", "update"]
    job = changing.environment.run_job("counted", {})
    assert (job["status"], job["attempts"], job["max_attempts"]) == ("failed", 1, 1)


def test_a_mail_channel_changes_beside_its_mailbox(changing: Changing) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    changing.write(notifications=mailbox(port))
    assert changing.apply().status == 200
    channels = mailbox(port)
    channels["channels"]["email"]["from"] = "b@example.com"
    changing.write(notifications=channels)
    applied = changing.apply()
    assert applied.status == 200, applied.body
    assert "notifications.email.mailbox" not in [step["id"] for step in applied.body["steps"]]
    mail = {"to": ["ada@example.com"], "subject": "Hello", "text": "It works."}

    def caught() -> str:  # the first may have been claimed by the old worker yet
        assert changing.environment.run_job("email", mail)["status"] == "completed"
        return "".join(file.read_text() for file in changing.environment.state.mail.iterdir())

    changing.until(lambda: "From: b@example.com" in caught())


def test_a_provider_and_a_chain_come(changing: Changing) -> None:
    providers = {"echo": {"kind": "echo"}, "other": {"kind": "echo"}}
    changing.write(ai={"providers": providers, "chains": {"default": ["other/any"]}})
    assert changing.apply().status == 200
    body = {"model": "default", "messages": [{"role": "user", "content": "hello"}]}
    answer = changing.environment.post("/v1/chat/completions", body)
    assert (answer.status, answer.headers["x-runtime-provider"]) == (200, "other")


def test_a_wrong_file_is_told_by_its_line(changing: Changing) -> None:
    before = changing.revision
    changing.file.write_text(
        "version: 1\nname: changing\nplugins: [counting]\nqueues:\n  counted: {handler: count, concurency: 3}\n"
    )
    answer = changing.apply()
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    (place,) = answer.body["errors"]
    assert (place["in"], place["pointer"], place["line"], place["column"]) == (
        "spec", "/queues/counted/concurency", 5, 29,
    )  # fmt: skip
    assert place["file"].endswith("spec.yaml")
    by_hand = changing.command("apply")
    assert by_hand.returncode == 1
    assert 'unknown key, did you mean "concurrency"?' in by_hand.stderr
    assert changing.revision == before


@pytest.mark.parametrize(
    ("sections", "pointer"),
    [
        ({"name": "another"}, "/name"),
        ({"plugins": []}, "/plugins"),
        ({"storage": {"redis": "redis://127.0.0.1:1/0"}}, "/storage/redis"),
        ({"storage": {"redis": "embedded", "database": "sqlite:///other.db"}}, "/storage/database"),
        ({"processes": {"api": 2}}, "/processes"),
        ({"events": {"backend": "memory"}}, "/events/backend"),
        ({"observability": {"logs": {"format": "json"}}}, "/observability/logs/format"),
        ({"secrets": {"vault": {"address": "http://127.0.0.1:1", "auth": {"method": "token", "token": "t"}}}},
         "/secrets/vault"),
    ],
)  # fmt: skip
def test_what_cannot_change_in_place(sections: dict[str, Any], pointer: str, changing: Changing) -> None:
    before = changing.revision
    changing.write(**{"queues": {} if "plugins" in sections else SPEC["queues"], **sections})
    answer = changing.apply()
    assert answer.status == 400, answer.body
    assert [place["pointer"] for place in answer.body["errors"]] == [pointer]
    assert "restart the environment" in answer.body["errors"][0]["detail"]
    assert changing.revision == before
    changing.write()
    assert changing.apply().body["changed"] is False


def test_a_reference_without_a_value(changing: Changing) -> None:
    changing.write(
        ai={"providers": {"echo": {"kind": "echo"}, "openai": {"kind": "openai", "api_key": "${NO_SUCH_KEY}"}}}
    )
    by_hand = changing.command("apply")
    assert by_hand.returncode == 1
    assert "NO_SUCH_KEY" in by_hand.stderr
    assert "ai.providers.openai.api_key" in by_hand.stderr


def test_a_component_that_cannot_start_leaves_all_as_it_was(changing: Changing) -> None:
    begun = changing.environment.get("/v1/runtime").body["components"]
    with taken() as port:
        changing.write(notifications=mailbox(port), queues=queues(concurrency=8))
        by_hand = changing.command("apply")
    assert by_hand.returncode == 1
    assert "the apply was undone, what ran before runs on" in by_hand.stderr
    assert str(port) in by_hand.stderr
    assert changing.concurrency == 2
    after = changing.environment.get("/v1/runtime").body["components"]
    assert [(part["id"], part["since"]) for part in after] == [(part["id"], part["since"]) for part in begun]
    assert changing.environment.get("/readyz").body["status"] == "ready"
    newest = json.loads(changing.command("revisions", "--json", "--limit", "1").stdout)["items"][0]
    assert (newest["outcome"], str(port) in newest["error"]) == ("failed", True)
    assert changing.revision < newest["number"]


def test_only_the_revision_that_was_looked_at(changing: Changing) -> None:
    now = changing.revision
    changing.write(queues=queues(concurrency=6))
    outdated = changing.apply(**{"If-Match": str(now + 1)})
    assert (outdated.status, outdated.body["type"]) == (412, "/docs#outdated")
    assert changing.apply(**{"If-Match": "latest"}).status == 400
    assert changing.concurrency == 2
    assert changing.apply(**{"If-Match": f'"{now}"'}).status == 200
    assert changing.apply(**{"If-Match": "*"}).status == 200
    assert changing.concurrency == 6


def test_no_spec_is_taken_over_http(changing: Changing) -> None:
    answer = changing.environment.post("/v1/runtime/apply", {"spec": json.dumps(SPEC)})
    assert (answer.status, "reads its own file" in answer.body["detail"]) == (400, True)
    assert changing.environment.post("/v1/runtime/plan", {"spec": ""}).status == 400
    assert changing.environment.post("/v1/runtime/plan", {}).status == 200


def test_back_to_an_earlier_revision(changing: Changing) -> None:
    first = changing.revision
    changing.write(queues=queues(concurrency=7))
    changing.apply()
    back = changing.command("rollback")
    assert back.returncode == 0, back.stderr
    assert f"Revision {first + 2} holds" in back.stdout
    assert changing.concurrency == 2
    assert changing.command("plan", "--exit-code").returncode == 4  # the file still says 7
    told = changing.command("revisions").stdout
    assert "changed: queues.counted.concurrency" in told
    forward = changing.environment.post("/v1/runtime/rollback", {"revision": first + 1})
    assert (forward.status, changing.concurrency) == (200, 7)
    unknown = changing.environment.post("/v1/runtime/rollback", {"revision": 999_999})
    assert unknown.status == 404
    listed = changing.environment.get("/v1/runtime/revisions?limit=1").body["items"]
    assert listed[0]["number"] == first + 3


def test_a_revision_that_never_held_is_no_aim(changing: Changing) -> None:
    with taken() as port:
        changing.write(notifications=mailbox(port))
        assert changing.apply().status == 422
    failed = changing.environment.get("/v1/runtime/revisions?limit=1").body["items"][0]["number"]
    answer = changing.environment.post("/v1/runtime/rollback", {"revision": failed})
    assert (answer.status, "never held" in answer.body["detail"]) == (409, True)


def test_a_signal(changing: Changing) -> None:
    changing.write(queues=queues(concurrency=5))
    changing.environment.process.send_signal(signal.SIGHUP)
    changing.until(lambda: changing.concurrency == 5)
    changing.file.write_text("queues: [")
    changing.environment.process.send_signal(signal.SIGHUP)
    changing.until(lambda: "Nothing has changed: what ran before runs on." in changing.environment.output)
    assert changing.concurrency == 5


def test_changed_code_is_told_and_not_loaded(changing: Changing) -> None:
    code = changing.file.parent / "counting.py"
    state = code.stat()
    code.write_text(TASKS + '\n@task("other")\nasync def other(job: JobContext, payload: dict) -> int:\n    return 1\n')
    changing.write(queues={**queues(), "further": {"handler": "other"}})
    answer = changing.environment.request("POST", "/v1/runtime/plan").body
    assert answer["warnings"] == [
        "counting.py: changed since it was imported, and code is not loaded again; restart to run it",
        'jobs.further: the handler "other" is not in the code that runs; it is declared, and nothing runs it',
    ]
    code.write_text(TASKS)
    os.utime(code, ns=(state.st_atime_ns, state.st_mtime_ns))
    changing.write()
    assert changing.environment.request("POST", "/v1/runtime/plan").body["warnings"] == []


def test_another_file_on_the_same_state_folder(changing: Changing, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(
        json.dumps({**SPEC, "plugins": [], "queues": {}, "storage": {"path": str(changing.environment.state.path)}})
    )
    answer = subprocess.run(
        [sys.executable, "-m", "runtime", "apply", str(other)], capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == 1
    assert "another spec runs on this state folder" in answer.stderr


def test_options_of_the_start(changing: Changing) -> None:
    answer = changing.command("apply", "--set", "NAME=value")
    assert (answer.returncode, "--set is given at the start" in answer.stderr) == (2, True)


def test_files_that_are_watched(tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(TASKS)
    file = tmp_path / "spec.yaml"
    file.write_text(json.dumps(SPEC))
    with running(file, watch=True) as environment:
        changing = Changing(environment, file)
        file.write_text("queues: [")
        changing.until(lambda: "Nothing has changed: what ran before runs on." in environment.output)
        assert "spec.yaml:1:" in environment.output
        assert changing.revision == 1
        changing.write(queues=queues(concurrency=4))
        changing.until(lambda: changing.concurrency == 4)
        assert "~ jobs.counted" in environment.output
        environment.spec.write_text(environment.spec.read_text().replace("{", '{"environment": "staging", ', 1))
        changing.until(lambda: changing.revision == 3)
