"""What a user's own tests need: an environment that runs for real, on a state folder and a port of its own.

Example:
    >>> from runtime.testing import running
    >>> with running("spec.yaml") as environment:                     # doctest: +SKIP
    ...     job = environment.run_job("greetings", {"name": "Ada"})
    ...     assert job["status"] == "completed"
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.errors import Fault
from runtime.kernel.lock import Holder
from runtime.kernel.lock import running as running_on
from runtime.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runtime.part import Role

FINISHED = frozenset({"completed", "failed", "cancelled"})


class Answer(NamedTuple):
    """An HTTP answer; `body` is the parsed JSON where it is JSON, else text."""

    status: int
    headers: Mapping[str, str]
    body: Any


class RunningEnvironment:
    """An environment in a process of its own.

    Args:
        process: the `runtime apply` that runs it.
        state: its state folder.
        holder: what it says of itself in the lock.
        output: the file that gets what it prints.
        spec: the file that it was given: an overlay over that of the test.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], state: StateFolder, holder: Holder, output: Path, spec: Path
    ) -> None:
        self.process = process
        self.state = state
        self.spec = spec
        self.url = holder.address
        self.key = state.operator_key.read_text().strip() if state.operator_key.exists() else ""
        self._output = output

    @property
    def output(self) -> str:
        """All that it printed so far."""
        return self._output.read_text(errors="replace")

    def request(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Calls the HTTP API with the operator's key; an error status is an answer, not an exception."""
        request = urllib.request.Request(self.url + path, method=method)  # noqa: S310 - our own URL
        request.add_header("Authorization", f"Bearer {self.key}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
                return Answer(response.status, dict(response.headers), _decode(response.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), _decode(error.read()))

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, path: str, body: Any) -> Answer:
        return self.request("POST", path, body)

    def run_job(self, queue: str, payload: Mapping[str, Any], *, timeout: float = 20.0) -> dict[str, Any]:
        """Posts a job and waits until it has ended.

        Args:
            queue: the queue's name.
            payload: what the handler gets.
            timeout: seconds to wait.

        Returns:
            The job as `GET /v1/jobs/{id}` shows it.

        Raises:
            Fault: the job was refused, or did not end in time.
        """
        posted = self.post(f"/v1/queues/{queue}/jobs", {"payload": payload})
        if posted.status != 202:
            raise Fault(f"the job was refused with {posted.status}: {posted.body}")
        return self.wait_for_job(posted.body["id"], timeout=timeout)

    def wait_for_job(self, job_id: str, *, timeout: float = 20.0) -> dict[str, Any]:
        """Waits until a job has ended, and returns it."""
        deadline = time.monotonic() + timeout
        while True:
            job = self.get(f"/v1/jobs/{job_id}")
            if job.status == 200 and job.body["status"] in FINISHED:
                ended: dict[str, Any] = job.body
                return ended
            if time.monotonic() > deadline:
                raise Fault(f"job {job_id} did not end within {timeout:g} s: {job.body}\n{self.output}")
            time.sleep(0.02)

    def stop(self, *, timeout: float = 30.0) -> int:
        """Ends it as an operator would, by SIGTERM; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


@contextmanager
def running(
    spec: str | Path,
    *,
    changes: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    state: Path | None = None,
    role: Role = "all",
    queues: Sequence[str] = (),
    watch: bool = False,
    timeout: float = 30.0,
) -> Iterator[RunningEnvironment]:
    """Runs a spec through the real command, and stops it at the end.

    Args:
        spec: the file.
        changes: what to change in it, merged over it as an overlay: `{"queues": {"mail": {"concurrency": 1}}}`.
        environ: further environment variables.
        state: the state folder; a temporary one by default.
        role: which part of it runs, as `runtime apply --role` takes it. A worker has no API.
        queues: of a worker, those whose jobs it runs; all by default.
        watch: whether it is applied again when its files change, as `runtime apply --watch` does.
        timeout: seconds until `/readyz` must answer.

    Raises:
        Fault: it did not come up; the message holds what it printed.
    """
    with tempfile.TemporaryDirectory(prefix=f"runtime-test-{os.getpid()}-") as temporary:
        folder = Path(temporary)
        home = StateFolder(state or folder / "state")
        overlay = {
            "extends": str(Path(spec).resolve()),
            "api": {"port": 0},
            **(changes or {}),
        }
        overlay["storage"] = {**overlay.get("storage", {}), "path": str(home.path)}
        root = folder / "spec.yaml"
        root.write_text(json.dumps(overlay))  # JSON is YAML
        output = folder / "output.txt"
        chosen = [*(["--queues", ",".join(queues)] if queues else []), *(["--watch"] if watch else [])]
        with output.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "runtime", "apply", "--role", role, *chosen, str(root)],
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environ or {})},
            )
        try:
            holder = _await_ready(process, home, output, role, timeout)
            yield RunningEnvironment(process, home, holder, output, root)
        finally:
            _end(process)


def _await_ready(
    process: subprocess.Popen[bytes], state: StateFolder, output: Path, role: Role, timeout: float
) -> Holder:
    deadline = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < deadline:
        if role == "worker":  # nobody can ask it; it says so itself
            if ": a worker of " in output.read_text(errors="replace"):
                return Holder(process.pid)
            time.sleep(0.02)
            continue
        known = running_on(state.path)
        if known is not None and known.address and known.pid == process.pid:
            return known  # the address is there once `/readyz` answers
        time.sleep(0.02)
    said = output.read_text(errors="replace")
    ended = process.poll()
    why = f"ended with {ended}" if ended is not None else f"was not ready after {timeout:g} s"
    raise Fault(f"`runtime apply` {why}:\n{said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
