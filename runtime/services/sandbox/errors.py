"""What goes wrong in the sandbox itself, never in the code that it runs."""

from __future__ import annotations

from runtime.errors import RequestFault


class NotReady(RequestFault):
    """A language cannot be run at the moment.

    Args:
        retry_after: seconds until it makes sense to ask again.
    """

    status = 503
    title = "Not ready"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class WorkerFailed(Exception):  # noqa: N818 - what happened to it, as its neighbour below
    """A worker process did not come up; says why."""


class WorkerDied(Exception):  # noqa: N818 - it need not be an error
    """A worker process ended while it had a job.

    Args:
        cause: `deadline` and `memory`: we killed it at a limit; `reply`: it sent what is no frame; `signal`: by itself
            or by another's hand.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause
