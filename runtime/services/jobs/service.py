"""The job queues: what may be put in, and what a caller sees of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.errors import Conflict, Invalid, NotFound, Pointer
from runtime.services.jobs.batch import MOST_AT_ONCE, Batch, repeated, require_count
from runtime.services.jobs.health import queue_health
from runtime.services.jobs.limits import limits, most_slots, rate
from runtime.services.jobs.ports import ENDED, Draft, JobStatus, JobView, QueueView, Refusal, Replayed
from runtime.services.jobs.queue_task import QueueTask
from runtime.services.jobs.spans import sent
from runtime.services.jobs.spec import QueueSpec
from runtime.services.names import unknown
from runtime.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from runtime.plugins import Mark, Registry
    from runtime.services.jobs.backend import Backend, NewJob, Stored

LOOK: Final = 0.2
"""Seconds between two looks at a job that is watched."""


class JobQueues:
    """All queues of an environment; implements the port `Jobs`.

    Args:
        queues: the `queues` section.
        registry: the tasks that exist, those of the plugins and the built-in ones.
        backend: where jobs are kept.
        tracing: where it is traced that jobs are put in.

    Raises:
        Fault: a task's payload type or a payload schema cannot be used.
    """

    def __init__(
        self, queues: Mapping[str, QueueSpec], registry: Registry, backend: Backend, tracing: Tracing | None = None
    ) -> None:
        self.backend = backend
        self._tracing = tracing or Tracing()
        self._registry = registry
        self._queues = dict(queues)
        self._tasks: dict[str, QueueTask] = {}
        self._tasks = {name: self.task(name, spec) for name, spec in self._queues.items()}

    async def start(self) -> None:
        """Nothing to do: the queues are where the jobs are kept."""

    async def stop(self) -> None:
        """Nothing to do."""

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Takes the section `queues` anew: from now on jobs are put into these queues and no others.

        Jobs of a queue that is gone stay where they are, until it is declared again.

        Raises:
            Fault: a payload schema cannot be used; nothing has changed.
        """
        queues = {name: QueueSpec.model_validate(section) for name, section in fields["queues"].items()}
        tasks = {name: self.task(name, spec) for name, spec in queues.items()}
        self._queues, self._tasks = queues, tasks

    def task(self, queue: str, spec: QueueSpec) -> QueueTask:
        """What runs the jobs of a queue with this section, which need not be the one that holds yet.

        Raises:
            Fault: its payload type or payload schema cannot be used.
        """
        known = self._tasks.get(queue)
        if known is not None and (known.handler, known.schema) == (spec.handler, spec.payload):
            return known
        return QueueTask(queue, spec, self._registry)

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
        self.settings(queue)
        return self._tasks[queue].mark

    def parse(self, queue: str, payload: Mapping[str, Any]) -> Any:
        """What the queue's task gets for a payload.

        Raises:
            Invalid: the payload does not fit.
        """
        return self._tasks[queue].parse(payload)

    def check(self, queue: str, draft: Draft) -> None:
        """Refuses what `submit` would refuse, but for a name that another job has; stores nothing.

        Raises:
            NotFound, NotBuilt, Invalid, TooLarge: as `submit`.
        """
        Batch(self).add(queue, draft)

    async def enqueue(
        self,
        queue: str,
        payload: Mapping[str, Any],
        *,
        delay: float = 0.0,
        key: str | None = None,
        once: str | None = None,
    ) -> JobView:
        return await self.submit(queue, Draft(payload, delay=delay or None, key=key, once=once))

    async def submit(self, queue: str, draft: Draft) -> JobView:
        batch = Batch(self)
        batch.add(queue, draft)
        require_count(len(batch.jobs))
        return _view((await self._put(queue, batch.jobs))[0])

    async def enqueue_all(self, queue: str, drafts: Sequence[Draft]) -> list[JobView]:
        self.mark(queue)
        require_count(len(drafts))
        batch = Batch(self)
        first: list[int] = []
        wrong: list[Pointer] = []
        for place, draft in enumerate(drafts):
            try:
                first.append(batch.add(queue, draft, f"/jobs/{place}"))
            except Invalid as error:
                wrong += error.errors
        wrong += repeated(drafts)
        if wrong:
            raise Invalid(
                f"the batch was not stored, {wrong[0].pointer} is wrong: {wrong[0].detail}",
                errors=wrong,
                remedy="Correct each of the places, or leave those jobs out.",
            )
        require_count(len(batch.jobs))
        stored = await self._put(queue, batch.jobs)
        return [_view(stored[number]) for number in first]

    async def _put(self, queue: str, jobs: list[NewJob]) -> list[Stored]:
        if self._tracing.tracer is None:
            return await self.backend.put(jobs)
        span = sent(self._tracing.tracer, queue, jobs)
        error = ""
        try:
            return await self.backend.put([msgspec.structs.replace(job, trace=span.traceparent) for job in jobs])
        except BaseException as refusal:
            error = type(refusal).__name__
            raise
        finally:
            span.end(error)

    async def get(self, job_id: str) -> JobView:
        queue = job_id.rpartition(".")[0]
        view = await self.backend.get(queue, job_id) if queue in self._queues else None
        if view is None:
            raise NotFound(
                f'no job "{job_id[:100]}"',
                remedy="Its id may be wrong, or it has ended and is no longer kept.",
            )
        return view

    async def follow(self, job_id: str) -> AsyncIterator[JobView]:
        seen = None
        while True:
            view = await self.get(job_id)
            if view != seen:
                yield view
                seen = view
            if view.status in ENDED:
                return
            await asyncio.sleep(LOOK)

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

    async def rest(self, job_id: str) -> JobView:
        view = await self.get(job_id)
        if view.status == "paused" or await self.backend.rest(view.queue, job_id):
            return await self.get(job_id)
        seen = await self.get(job_id)
        if seen.status == "paused":
            return seen
        raise Conflict(
            f"the job {job_id} cannot be paused, it is {seen.status}", remedy="Only a job that waits or runs is paused."
        )

    async def wake(self, job_id: str) -> JobView:
        view = await self.get(job_id)
        if view.status in ENDED:
            raise Conflict(f"the job {job_id} is not paused, it is {view.status}", remedy="There is nothing to do.")
        await self.backend.wake(view.queue, job_id, limits(self.settings(view.queue)))
        return await self.get(job_id)

    async def pause(self, queue: str) -> QueueView:
        self.settings(queue)
        await self.backend.pause(queue, True)
        return await self.queue(queue)

    async def resume(self, queue: str) -> QueueView:
        self.settings(queue)
        await self.backend.pause(queue, False)
        return await self.queue(queue)

    async def admit(self, queue: str, most: int) -> int:
        rate = self.settings(queue).rate
        return await self.backend.admit(queue, rate, most) if rate is not None and most > 0 else most

    async def queues(self) -> list[QueueView]:
        return [await self.queue(name) for name in self._queues]

    async def queue(self, name: str) -> QueueView:
        spec = self.settings(name)
        counts = await self.backend.counts(name, limits(spec))
        stands = queue_health(spec.health, failed=counts.dead, waiting=counts.waiting)
        return QueueView(
            name=name,
            handler=spec.handler,
            built=self._tasks[name].built,
            concurrency=most_slots(spec),
            rate=rate(spec),
            health=stands.status,
            reason=stands.reason or None,
            waiting=counts.waiting,
            scheduled=counts.scheduled,
            running=counts.running,
            dead=counts.dead,
            completed=counts.completed,
            failed=counts.failed,
            retried=counts.retried,
            workers=counts.workers,
            cancelled=counts.cancelled,
            resting=counts.resting,
            blocked=counts.blocked,
            paused=counts.paused,
        )


def _view(stored: Stored) -> JobView:
    """A job that has just been stored."""
    job = stored.job
    status: JobStatus = "blocked" if job.awaits else "scheduled" if job.delay else "queued"
    return JobView(
        id=stored.id,
        queue=job.queue,
        status=status,
        attempts=0,
        max_attempts=job.attempts,
        progress=0.0,
        result=None,
        error=None,
        enqueued_at=datetime.now(UTC),
        due_at=datetime.fromtimestamp(job.scheduled, UTC) if job.scheduled else None,
        started_at=None,
        finished_at=None,
        owner=job.owner,
        group=job.group or None,
        children=list(job.children),
        duplicate=stored.duplicate,
    )
