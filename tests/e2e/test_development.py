"""`specs/development.yaml`, as a newcomer runs it: through the real command, over real HTTP, Redis and SMTP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "specs" / "development.yaml"
QUEUES = {"email", "push", "sms", "notification", "swarm", "run", "sandbox", "import", "export"}


@pytest.fixture(scope="module")
def environment() -> Iterator[RunningEnvironment]:
    with running(SPEC) as environment:
        yield environment


def test_it_boots_without_an_environment_variable(tmp_path: Path) -> None:
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    overlay = tmp_path / "spec.yaml"
    overlay.write_text(json.dumps({"extends": str(SPEC), "api": {"port": 0}, "storage": {"path": "state"}}))
    with subprocess.Popen(
        [sys.executable, "-m", "runtime", "apply", str(overlay)],
        env=bare,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            printed.append(line)
            if line.lstrip().startswith("curl"):
                break
        process.terminate()
        printed += process.stdout.readlines()
        assert process.wait(30) == 0, "".join(printed)


def test_the_printed_curl_lines_work_as_they_stand(environment: RunningEnvironment) -> None:
    lines = re.findall(r"^\s+(curl (?:.*\\\n)*.*)$", environment.output, re.MULTILINE)
    assert len(lines) >= 2, environment.output
    for line in lines:
        answer = subprocess.run(
            ["/bin/sh", "-c", f"{line} --silent --show-error --fail-with-body --max-time 10"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, f"{line}\n{answer.stdout}{answer.stderr}"
        json.loads(answer.stdout)


def test_a_posted_mail_is_delivered_over_smtp_and_shown(environment: RunningEnvironment) -> None:
    job = environment.run_job(
        "email", {"to": ["ada@example.com", "bob@example.com"], "subject": "Grüße", "text": "It arrives."}
    )
    assert job["status"] == "completed", job
    mails = [path.read_bytes() for path in environment.state.mail.glob("*.eml")]
    ours = [mail for mail in mails if b"It arrives." in mail]
    assert len(ours) == 2  # one message a recipient, never both in one `To:`
    shown = subprocess.run(
        [sys.executable, "-m", "runtime", "notify", "mails", str(_root_spec(environment))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "ada@example.com" in shown
    assert "bob@example.com" in shown
    assert "Grüße" in shown


def test_a_posted_text_message_is_caught_and_shown(environment: RunningEnvironment) -> None:
    job = environment.run_job("sms", {"to": ["+1 202 555 0123"], "body": "It arrives 🎉"})
    assert (job["status"], job["result"]) == ("completed", {"sent": 1})
    command = [sys.executable, "-m", "runtime", "notify", "texts", str(_root_spec(environment))]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "+12025550123      It arrives 🎉" in shown
    whole = subprocess.run([*command, "last"], capture_output=True, text=True, check=True).stdout
    assert whole == "To: +12025550123\nFrom: +15550100\n\nIt arrives 🎉\n"


def test_an_event_reaches_a_follower_and_the_plugins_subscriber(environment: RunningEnvironment) -> None:
    request = urllib.request.Request(environment.url + "/v1/streams/billing/subscribe")
    request.add_header("Authorization", f"Bearer {environment.key}")
    received: list[bytes] = []
    following = threading.Event()
    done = threading.Event()

    def follow() -> None:
        with urllib.request.urlopen(request, timeout=15) as response:
            following.set()
            for line in response:
                received.append(line)
                if b"4711" in line:
                    done.set()
                    return

    thread = threading.Thread(target=follow)
    thread.start()
    assert following.wait(10)
    posted = environment.post("/v1/streams/billing/events", {"type": "payment.received", "data": {"reference": "4711"}})
    assert posted.status == 202
    assert done.wait(10), received
    thread.join(10)
    replayed = environment.get("/v1/streams/billing/events?limit=100").body["items"]
    assert [event["id"] for event in replayed if event["id"] == posted.body["id"]]


def test_all_is_declared_and_what_is_absent_says_so(environment: RunningEnvironment) -> None:
    health = environment.get("/healthz").body
    services = health["services"]
    troubled = {name for name, service in services.items() if service["status"] in ("down", "degraded")}
    assert troubled <= {"sandbox"}, health  # its Python may still be prepared
    assert {"auth", "jobs", "events", "ai", "notifications", "sandbox", "secrets"} <= set(services)
    assert services["schedules"]["status"] == "not built"  # the queue of its one schedule is not built
    for name in ("ai", "auth", "jobs", "events", "notifications", "sandbox", "secrets"):
        assert services[name]["healthy"] is True
    queues = {queue["name"]: queue for queue in environment.get("/v1/queues").body["items"]}
    assert set(queues) >= QUEUES
    assert {"billing", "security", "system", "user"} <= {
        stream["name"] for stream in environment.get("/v1/streams").body["items"]
    }
    asked = {"model": "default", "messages": [{"role": "user", "content": "Hello"}]}
    answered = environment.post("/v1/chat/completions", asked)
    assert answered.body["choices"][0]["message"]["content"] == "[echo] Hello"
    assert answered.headers["x-runtime-provider"] == "echo"
    executed = environment.post("/v1/sandbox/executions", {"language": "javascript", "code": "1 + 1"})
    assert (executed.status, executed.body["output"]) == (200, 2)


def test_a_model_is_asked_by_hand(environment: RunningEnvironment) -> None:
    def said(*words: str) -> tuple[str, str]:
        action, *rest = words
        command = [sys.executable, "-m", "runtime", "ai", action, str(_root_spec(environment)), *rest]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout, done.stderr

    assert said("chat", "Hello by hand") == ("[echo] Hello by hand\n", "echo/echo, $0.000000\n")
    assert "echo  active" in said("providers")[0]
    assert "0.00" in said("usage")[0]


def test_nothing_but_health_answers_without_the_key(environment: RunningEnvironment) -> None:
    for path in ("/livez", "/readyz", "/healthz", "/openapi.json", "/docs"):
        with urllib.request.urlopen(environment.url + path, timeout=10) as response:
            assert response.status == 200, path
    for path in ("/v1/queues", "/v1/streams", "/v1/runtime", "/v1/runtime/spec", "/metrics"):
        assert environment.request("GET", path, headers={"Authorization": "Bearer rt_wrong"}).status == 401, path


def test_status_shows_every_component(environment: RunningEnvironment) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "runtime", "status", str(_root_spec(environment)), "--json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    components = {component["id"]: component["state"] for component in json.loads(shown)["components"]}
    assert components["jobs.email"] == "running"
    assert components["http"] == "running"
    assert set(components.values()) == {"running"}


def _root_spec(environment: RunningEnvironment) -> Path:
    return environment.state.path.parent / "spec.yaml"


def test_its_own_security_and_system_events_are_seen(environment: RunningEnvironment) -> None:
    refused = urllib.request.Request(environment.url + "/v1/queues", headers={"X-API-Key": "rt_guessed"})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(refused, timeout=10)
    (failed,) = _tailed(environment, "security", 1)
    assert (failed["type"], failed["data"]["method"]) == ("login.failed", "key")
    assert failed["data"]["address"].startswith("127.0.0.1")
    assert "rt_guessed" not in json.dumps(failed)
    healthy = _tailed(environment, "system", 2)
    assert {event["type"] for event in healthy} == {"service.health"}
    assert {(event["data"]["before"], event["data"]["status"]) for event in healthy} == {(None, "operational")}


def _tailed(environment: RunningEnvironment, stream: str, count: int) -> list[dict[str, Any]]:
    """The first events of a stream, as `runtime events tail` shows them."""
    applied = environment.state.path.parent / "spec.yaml"
    line = [sys.executable, "-m", "runtime", "events", "tail", str(applied), stream, "--after", "0", "--json"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as tail:
        limit = threading.Timer(20, tail.kill)
        limit.start()
        try:
            assert tail.stdout is not None
            return [json.loads(tail.stdout.readline()) for _ in range(count)]
        finally:
            limit.cancel()
            tail.kill()
