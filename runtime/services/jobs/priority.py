"""The priority of a job, from its queue's section and the marks that the job carries.

Example:
    >>> from runtime.services.jobs.spec import QueueSpec
    >>> run = QueueSpec(handler="routines.run", priority=100, priority_by={"person": -20, "premium": -5})
    >>> priority_of(run, ["person", "premium"])
    75
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.errors import Invalid, Pointer
from runtime.services.names import unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.jobs.spec import QueueSpec

AT = "/marks"


def priority_of(spec: QueueSpec, marks: Sequence[str], *, named: int | None = None) -> int:
    """The priority of a job; lower runs first.

    Args:
        spec: its queue's section: `priority`, and in `priority_by` what each mark adds.
        marks: what the job says of itself, `premium`; one that is given twice counts once.
        named: a priority that the job names itself, instead of the queue's; marks are added to it too.

    Raises:
        Invalid: the queue knows no such mark, with a pointer to each.
    """
    known = spec.priority_by
    strange = [(place, mark) for place, mark in enumerate(marks) if mark not in known]
    if strange:
        _, first = strange[0]
        refusal = unknown("mark", first, known, within="in `priority_by` of the queue")
        raise Invalid(
            refusal.message,
            errors=[Pointer(f"{AT}/{place}", f'no mark "{mark[:100]}"') for place, mark in strange],
            remedy=refusal.remedy if known else "The queue's `priority_by` is empty: leave the marks out.",
        )
    return (spec.priority if named is None else named) + sum(known[mark] for mark in dict.fromkeys(marks))
