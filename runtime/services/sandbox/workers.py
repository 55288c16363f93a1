"""What the queue of the sandbox runs: the built-in task `sandbox.execute`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from runtime.errors import RequestFault
from runtime.services.jobs.ports import JobContext, Reject, Retry
from runtime.services.sandbox.bodies import ExecutionRequest
from runtime.services.sandbox.ports import Sandbox


def execution_task(sandbox: Sandbox) -> Callable[..., Any]:
    """The task `sandbox.execute`: its result is the execution, also where the code fails.

    Args:
        sandbox: where the code runs.
    """

    async def execute(job: JobContext, payload: ExecutionRequest) -> dict[str, Any]:
        try:
            done = await payload.run(sandbox, f"queue:{job.queue}")
        except RequestFault as fault:
            if fault.status in (429, 503):
                raise Retry(str(fault.message)) from fault
            raise Reject(str(fault.message)) from fault
        built: dict[str, Any] = msgspec.to_builtins(done)
        return built

    return execute
