"""What can be asked of an environment: each call as it is sent, and how its answer is read. Nothing here waits."""

from __future__ import annotations

import random
import secrets
import time
from typing import TYPE_CHECKING, Any, Final, Generic, TypedDict, TypeVar
from urllib.parse import quote

import msgspec

from runtime.client.refusals import Away, refusal
from runtime.errors import Fault, NotRunning, TooMany
from runtime.services.jobs.bodies import JobAccepted, JobBatch, JobRequest, JobsAccepted
from runtime.services.jobs.ports import ENDED, Draft, Duplicate, JobView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from runtime.client.place import Address

T = TypeVar("T")

TIMEOUT: Final = 10.0
"""Seconds that an answer may take."""
SILENCE: Final = 45.0
"""Seconds without a word after which a stream counts as broken: the environment says something every fifteen."""
SHORTEST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
_DATA: Final = b"data: "


class Options(TypedDict, total=False):
    """What a job may be given beside its payload; the fields of `Draft`."""

    delay: str | float | None
    run_at: datetime | None
    key: str | None
    on_duplicate: Duplicate | None
    window: str | float | None
    priority: int | None
    marks: Sequence[str]
    group: str | None
    owner: str | None
    timeout: str | float | None
    attempts: int | None
    backoff: str | float | None
    children: Sequence[Draft]
    runs_anyway: bool


class Call(Generic[T]):
    """One request.

    Args:
        kind: what a good answer holds.
        body: what is sent as JSON; None for nothing.
        patience: seconds for which it may be sent again. A write is then sent with a key by which the environment
            knows it again, so that it is done once.
    """

    def __init__(self, method: str, path: str, kind: type[T], body: Any = None, *, patience: float = 0.0) -> None:
        self.method = method
        self.path = path
        self.body = msgspec.json.encode(body) if body is not None else None
        self._kind = kind
        self._mark = secrets.token_hex(16) if patience > 0 and method == "POST" else None

    def headers(self, address: Address) -> dict[str, str]:
        """What goes with it; the key in it must not be logged."""
        headers = {"Authorization": f"Bearer {address.key}", "Accept": "application/json"}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        if self._mark is not None:
            headers["Idempotency-Key"] = self._mark
        return headers

    def read(self, address: Address, status: int, headers: Mapping[str, str], body: bytes) -> T:
        """What an answer holds.

        Raises:
            Fault: it is a refusal; the class is that of the environment's own error.
        """
        if not 200 <= status < 300:
            raise refusal(address.url, status, headers, body)
        try:
            return msgspec.json.decode(body, type=self._kind)
        except msgspec.MsgspecError as error:
            raise Fault(f"{address.url} answered what is not understood: {error}") from error


class Tries:
    """How long a call is sent again that could not be answered.

    Args:
        patience: seconds, from now.
    """

    def __init__(self, patience: float) -> None:
        self._until = time.monotonic() + patience
        self._pause = SHORTEST_PAUSE

    def pause(self, fault: Fault) -> float:
        """Seconds until the next try.

        Raises:
            Fault: the one that is given; there is no time for another try, or none would help.
        """
        asked = getattr(fault, "retry_after", None)
        wait = self._pause * random.uniform(0.5, 1.0) if asked is None else asked  # noqa: S311 - no secret
        if not isinstance(fault, Away | NotRunning | TooMany) or time.monotonic() + wait > self._until:
            raise fault
        self._pause = min(LONGEST_PAUSE, 2 * self._pause)
        return wait


class Changes:
    """Reads the job out of a stream of server-sent events (WHATWG HTML, 9.2.6), as far as ours uses them."""

    def __init__(self) -> None:
        self._rest = b""

    def ended(self, block: bytes) -> JobView | None:
        """The job, once it has ended."""
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            if line.startswith(_DATA):
                view = msgspec.json.decode(line.removeprefix(_DATA), type=JobView)
                if view.status in ENDED:
                    return view
        return None


def enqueue(queue: str, draft: Draft, patience: float) -> Call[JobAccepted]:
    """Puts a job into a queue."""
    return Call("POST", f"{_queue(queue)}/jobs", JobAccepted, JobRequest.of(draft), patience=patience)


def enqueue_all(queue: str, drafts: Sequence[Any], patience: float) -> Call[JobsAccepted]:
    """Puts jobs into a queue, all or none."""
    batch = JobBatch([JobRequest.of(each if isinstance(each, Draft) else Draft(each)) for each in drafts])
    return Call("POST", f"{_queue(queue)}/jobs/batch", JobsAccepted, batch, patience=patience)


def job(job_id: str) -> Call[JobView]:
    """Looks at a job."""
    return Call("GET", _job(job_id), JobView)


def watch(job_id: str) -> Call[JobView]:
    """Follows a job."""
    return Call("GET", f"{_job(job_id)}/watch", JobView)


def cancel(job_id: str, patience: float) -> Call[JobAccepted]:
    """Cancels a job."""
    return Call("POST", f"{_job(job_id)}/cancel", JobAccepted, patience=patience)


def retry(job_id: str, patience: float) -> Call[JobAccepted]:
    """Puts a failed job back."""
    return Call("POST", f"{_job(job_id)}/retry", JobAccepted, patience=patience)


def _queue(name: str) -> str:
    return f"/v1/queues/{quote(name, safe='')}"


def _job(id_: str) -> str:
    return f"/v1/jobs/{quote(id_, safe='')}"
