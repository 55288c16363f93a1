"""The jobs of one call: each with its children behind it, all of them checked before the first is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec.structs import replace

from runtime.errors import Invalid, Pointer, TooLarge
from runtime.services.jobs.drafts import new_job, require_alone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runtime.services.jobs.backend import NewJob
    from runtime.services.jobs.ports import Draft
    from runtime.services.jobs.spec import QueueSpec

MOST_AT_ONCE: Final = 1_000
"""Jobs of one call, children counted."""


class Declared(Protocol):
    """The queues that there are."""

    def settings(self, queue: str) -> QueueSpec: ...

    def mark(self, queue: str) -> object: ...

    def parse(self, queue: str, payload: Mapping[str, Any]) -> Any: ...


class Batch:
    """Collects jobs.

    Args:
        queues: where they may go.
    """

    def __init__(self, queues: Declared) -> None:
        self.jobs: list[NewJob] = []
        self._queues = queues

    def add(self, queue: str, draft: Draft, place: str = "", parent: tuple[NewJob, bool] | None = None) -> int:
        """Adds the job of a draft, and behind it those of its children.

        Args:
            place: what the pointers of a refusal begin with.
            parent: the job that waits for it, and whether that one runs even when this one fails.

        Returns:
            Its number in `jobs`.

        Raises:
            As `Jobs.submit`.
        """
        queue = draft.queue or queue
        spec = self._queues.settings(queue)
        self._queues.mark(queue)
        try:
            job = new_job(queue, spec, draft)
            if parent is not None or draft.children:
                require_alone(job)
            self._queues.parse(queue, draft.payload)
        except Invalid as error:
            errors = [Pointer(place + each.pointer, each.detail) for each in error.errors]
            raise Invalid(error.message, errors=errors, remedy=error.remedy) from error
        except TooLarge as error:
            raise TooLarge(f"{place}: {error.message}".removeprefix(": "), remedy=error.remedy) from error
        if parent is not None:
            waits, runs_anyway = parent
            above = (waits.queue, waits.id, waits.usual)
            job = replace(job, parent=above, runs_anyway=runs_anyway, by=job.by or waits.by)
        number = len(self.jobs)
        self.jobs.append(job)
        children = [
            self.add(queue, child, f"{place}/children/{each}", (job, draft.runs_anyway))
            for each, child in enumerate(draft.children)
        ]
        if children:
            self.jobs[number] = replace(job, children=[self.jobs[each].id for each in children])
        return number


def require_count(count: int) -> None:
    """Refuses a call with no job, or with too many.

    Raises:
        Invalid: that.
    """
    if not 0 < count <= MOST_AT_ONCE:
        raise Invalid(
            f"a batch has 1 to {MOST_AT_ONCE:,} jobs, this one has {count:,}",
            errors=[Pointer("/jobs", f"1 to {MOST_AT_ONCE:,} jobs")],
            remedy="Send the jobs in several batches.",
        )


def repeated(drafts: Sequence[Draft]) -> Iterator[Pointer]:
    """Keys that two jobs of a batch have."""
    keys: dict[tuple[str | None, str], int] = {}
    for place, draft in enumerate(drafts):
        if draft.key is not None and (first := keys.setdefault((draft.queue, draft.key), place)) != place:
            yield Pointer(f"/jobs/{place}/key", f"/jobs/{first} has it too")
