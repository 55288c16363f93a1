"""What a step is made of, and how what it does can fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobContext
    from runtime.services.routines.templates import Template, Variables
    from runtime.spec.fields import Retry


class StepFailed(Exception):  # noqa: N818 - it is told, and may be allowed
    """A step has come to nothing.

    Args:
        message: what went wrong; never a secret.
        passing: whether it may go by itself: a server away, a limit reached. The run is then tried again later, from
            this step on.
        after: seconds until it makes sense to try; 0 where that is not known.
    """

    def __init__(self, message: str, *, passing: bool = False, after: float = 0.0) -> None:
        super().__init__(message)
        self.passing = passing
        self.after = after


@dataclass(frozen=True, slots=True)
class Scope:
    """What a step sees of its run.

    Args:
        job: the run.
        variables: `input`, `steps` and `run`.
        operation: names the step among all that were ever run; the same at each try.
    """

    job: JobContext
    variables: Variables
    operation: str

    @property
    def account(self) -> str:
        """Who pays, and in whose name it is done."""
        return self.job.by.account if self.job.by else f"queue:{self.job.queue}"


class Action(Protocol):
    """What a step does."""

    async def __call__(self, scope: Scope) -> Any:
        """Does it; returns the step's output, JSON values.

        Raises:
            StepFailed: it has come to nothing.
            NotFilled: an expression has no value.
            Fault: a service refuses it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """A step, ready to be run.

    Args:
        uses: what it does, as the spec calls it.
        condition: the step is left out where it does not hold.
        timeout: seconds that one try may take; None for as long as the run may.
        goes_on: whether the run goes on after its last failure.
    """

    name: str
    uses: str
    action: Action
    condition: Template | None
    timeout: float | None
    retry: Retry
    goes_on: bool
