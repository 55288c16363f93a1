"""The job queues: what may be put in, and what a caller sees of it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Invalid, NotBuilt, NotFound, Pointer, TooLarge
from runtime.services.document import Document
from runtime.services.jobs.backend import Backend, Limits, NewJob
from runtime.services.jobs.payload import AT, PayloadType
from runtime.services.jobs.ports import REMEMBERED, JobView, QueueView
from runtime.services.names import time_ordered, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.plugins import Mark, Registry
    from runtime.services.jobs.spec import QueueSpec

LARGEST_PAYLOAD: Final = 1_000_000
LONGEST_DELAY: Final = 366 * 86_400.0
LONGEST_KEY: Final = 200
AT_MOST: Final = 10
"""Jobs at once for a queue with a range: growing with the backlog is not built."""


class JobQueues:
    """All queues of an environment; implements the port `Jobs`.

    Args:
        queues: the `queues` section.
        registry: the tasks that exist, those of the plugins and the built-in ones.
        backend: where jobs are kept.

    Raises:
        Fault: a task's payload type or a payload schema cannot be used.
    """

    def __init__(self, queues: Mapping[str, QueueSpec], registry: Registry, backend: Backend) -> None:
        self.backend = backend
        self._queues = dict(queues)
        self._marks: dict[str, Mark] = {}
        self._types: dict[str, PayloadType] = {}
        self._documents: dict[str, Document] = {}
        for name, spec in self._queues.items():
            mark = registry.get("task", spec.handler)
            if mark is not None:
                self._marks[name] = mark
                self._types[name] = PayloadType(mark.function, mark.origin)
            if spec.payload is not None:
                self._documents[name] = Document(spec.payload, AT)

    async def start(self) -> None:
        """Nothing to do: the queues are where the jobs are kept."""

    async def stop(self) -> None:
        """Nothing to do."""

    def settings(self, queue: str) -> QueueSpec:
        """A queue's section of the spec.

        Raises:
            NotFound: no such queue.
        """
        try:
            return self._queues[queue]
        except KeyError:
            raise unknown("queue", queue, self._queues) from None

    def adopt(self, queue: str, spec: QueueSpec) -> None:
        """Takes over a queue's section whose live fields have changed."""
        self._queues[queue] = spec

    def mark(self, queue: str) -> Mark:
        """The task that runs a queue's jobs.

        Raises:
            NotFound: no such queue.
            NotBuilt: this version does not have that task.
        """
        handler = self.settings(queue).handler
        mark = self._marks.get(queue)
        if mark is None:
            raise NotBuilt(f'the handler "{handler}" of the queue "{queue}"')
        if mark.process:
            raise NotBuilt(f'the queue "{queue}": running "{handler}" in a process of its own')
        return mark

    def parse(self, queue: str, payload: Mapping[str, Any]) -> Any:
        """What the queue's task gets for a payload.

        Raises:
            Invalid: the payload does not fit.
        """
        if document := self._documents.get(queue):
            document.check(payload, f'the payload of a job of "{queue}"')
        return self._types[queue].parse(payload)

    async def enqueue(
        self,
        queue: str,
        payload: Mapping[str, Any],
        *,
        delay: float = 0.0,
        key: str | None = None,
        once: str | None = None,
    ) -> JobView:
        spec = self.settings(queue)
        self.mark(queue)
        _require_time(delay)
        _require_key("key", key)
        _require_key("once", once)
        _require_size(payload)
        self.parse(queue, payload)
        return await self.backend.put(
            NewJob(
                id=f"{queue}.{time_ordered()}",
                queue=queue,
                payload=payload,
                limits=limits(spec),
                scheduled=time.time() + delay if delay else 0.0,
                key=key,
                once=once,
                once_ttl=REMEMBERED,
            )
        )

    async def get(self, job_id: str) -> JobView:
        queue = job_id.rpartition(".")[0]
        view = await self.backend.get(queue, job_id) if queue in self._queues else None
        if view is None:
            raise NotFound(
                f'no job "{job_id[:100]}"',
                remedy="Its id may be wrong, or it has ended and is no longer kept.",
            )
        return view

    async def queues(self) -> list[QueueView]:
        return [await self.queue(name) for name in self._queues]

    async def queue(self, name: str) -> QueueView:
        spec = self.settings(name)
        counts = await self.backend.counts(name, limits(spec))
        return QueueView(
            name=name,
            handler=spec.handler,
            built=name in self._marks and not self._marks[name].process,
            concurrency=slots(spec),
            waiting=counts.waiting,
            scheduled=counts.scheduled,
            running=counts.running,
            dead=counts.dead,
            completed=counts.completed,
            failed=counts.failed,
            retried=counts.retried,
            workers=counts.workers,
        )


def limits(spec: QueueSpec) -> Limits:
    """How a queue treats its jobs, from its section."""
    return Limits(
        attempts=spec.retry.attempts,
        stalls=spec.max_stalled,
        lease=spec.lease,
        result_ttl=spec.result_ttl,
        dead_ttl=spec.dead_letter.ttl,
        keep=spec.keep,
    )


def slots(spec: QueueSpec) -> int:
    """How many jobs one worker of a queue runs at once."""
    wanted = spec.concurrency
    return wanted if isinstance(wanted, int) else max(wanted.min, min(wanted.max, AT_MOST))


def _require_time(delay: float) -> None:
    if not 0 <= delay <= LONGEST_DELAY:  # refuses NaN as well
        raise Invalid(
            f"a job cannot be delayed by {delay:g} s",
            errors=[Pointer("/delay", "between 0 seconds and 366 days")],
            remedy="Give a time in the next 366 days.",
        )


def _require_key(name: str, key: str | None) -> None:
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise Invalid(
            f"a job's {name} has 1 to {LONGEST_KEY} characters, this one has {len(key)}",
            errors=[Pointer(f"/{name}", f"1 to {LONGEST_KEY} characters")],
        )


def _require_size(payload: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(payload, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode())
    except (TypeError, ValueError) as error:
        raise Invalid(f"the payload is no JSON: {error}", errors=[Pointer(AT, str(error))]) from error
    if size > LARGEST_PAYLOAD:
        raise TooLarge(
            f"the payload has {size:,} bytes as JSON, a job takes at most {LARGEST_PAYLOAD:,}",
            remedy="Store the bulk elsewhere and put its address into the payload.",
        )
