"""The job queues: what may be put in, and what a caller sees of it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Conflict, Invalid, NotBuilt, NotFound, Pointer, TooLarge
from runtime.services.document import Document
from runtime.services.jobs.backend import Backend, Limits, NewJob
from runtime.services.jobs.payload import AT, PayloadType
from runtime.services.jobs.ports import REMEMBERED, Draft, JobView, QueueView, Refusal, Replayed
from runtime.services.jobs.times import ahead
from runtime.services.names import time_ordered, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from runtime.plugins import Mark, Registry
    from runtime.services.jobs.spec import QueueSpec

LARGEST_PAYLOAD: Final = 1_000_000
LONGEST_KEY: Final = 200
MOST_AT_ONCE: Final = 1_000
"""Jobs of a batch."""
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
        (view,) = await self.backend.put([self._job(queue, spec, Draft(payload, delay=delay, key=key, once=once))])
        return view

    async def enqueue_all(self, queue: str, drafts: Sequence[Draft]) -> list[JobView]:
        spec = self.settings(queue)
        self.mark(queue)
        if not 0 < len(drafts) <= MOST_AT_ONCE:
            raise Invalid(
                f"a batch has 1 to {MOST_AT_ONCE:,} jobs, this one has {len(drafts):,}",
                errors=[Pointer("/jobs", f"1 to {MOST_AT_ONCE:,} jobs")],
                remedy="Send the jobs in several batches.",
            )
        jobs: list[NewJob] = []
        wrong: list[Pointer] = []
        keys: dict[str, int] = {}
        for place, draft in enumerate(drafts):
            at = f"/jobs/{place}"
            try:
                jobs.append(self._job(queue, spec, draft))
            except Invalid as error:
                wrong += [Pointer(at + each.pointer, each.detail) for each in error.errors]
            except TooLarge as error:
                raise TooLarge(f"{at}: {error.message}", remedy=error.remedy) from error
            if draft.key is not None and (first := keys.setdefault(draft.key, place)) != place:
                wrong.append(Pointer(f"{at}/key", f"/jobs/{first} has it too"))
        if wrong:
            raise Invalid(
                f"the batch was not stored, {wrong[0].pointer} is wrong: {wrong[0].detail}",
                errors=wrong,
                remedy="Correct each of the places, or leave those jobs out.",
            )
        return await self.backend.put(jobs)

    def _job(self, queue: str, spec: QueueSpec, draft: Draft) -> NewJob:
        """Makes the job of a draft, if all about it is right."""
        delay = ahead(draft.delay, draft.run_at)
        _require_key("key", draft.key)
        _require_key("once", draft.once)
        _require_size(draft.payload)
        self.parse(queue, draft.payload)
        return NewJob(
            id=f"{queue}.{time_ordered()}",
            queue=queue,
            payload=draft.payload,
            limits=limits(spec),
            scheduled=time.time() + delay if delay else 0.0,
            key=draft.key,
            once=draft.once,
            once_ttl=REMEMBERED,
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

    async def dead(self, queue: str, *, after: tuple[datetime, str] | None = None, limit: int = 50) -> list[JobView]:
        return await self.backend.dead(queue, limits(self.settings(queue)), after, limit)

    async def replay(self, queue: str, ids: Sequence[str] | None = None) -> Replayed:
        kept = limits(self.settings(queue))
        self.mark(queue)
        if ids is not None and len(ids) > MOST_AT_ONCE:
            raise Invalid(
                f"at most {MOST_AT_ONCE:,} jobs are replayed at once, these are {len(ids):,}",
                errors=[Pointer("/ids", f"at most {MOST_AT_ONCE:,} ids")],
                remedy="Replay them in several calls.",
            )
        if ids is None:
            ids = await self.backend.oldest_dead(queue, kept, MOST_AT_ONCE)
        wanted = list(dict.fromkeys(ids))
        refused = await self.backend.replay(queue, kept, wanted) if wanted else {}
        return Replayed(
            replayed=len(wanted) - len(refused),
            refused=[Refusal(job_id, reason) for job_id, reason in refused.items()],
            left=(await self.backend.counts(queue, kept)).dead,
        )

    async def retry(self, job_id: str) -> JobView:
        view = await self.get(job_id)
        self.mark(view.queue)
        if view.status != "failed":
            raise Conflict(
                f"the job {job_id} has not failed, it is {view.status}",
                remedy="Only a failed job is tried again; put a new one into the queue.",
            )
        if refused := await self.backend.replay(view.queue, limits(self.settings(view.queue)), [job_id]):
            raise Conflict(f"the job {job_id} cannot be tried again: {refused[job_id]}", remedy="Look at it anew.")
        return await self.get(job_id)

    async def cancel(self, job_id: str) -> JobView:
        queue = (await self.get(job_id)).queue
        view = await self.backend.cancel(queue, job_id, limits(self.settings(queue)))
        return view or await self.get(job_id)

    async def pause(self, queue: str) -> QueueView:
        self.settings(queue)
        await self.backend.pause(queue, True)
        return await self.queue(queue)

    async def resume(self, queue: str) -> QueueView:
        self.settings(queue)
        await self.backend.pause(queue, False)
        return await self.queue(queue)

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
            cancelled=counts.cancelled,
            paused=counts.paused,
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
