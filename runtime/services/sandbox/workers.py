"""What the queue of the sandbox runs: the built-in task `sandbox.execute`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from runtime.errors import RequestFault
from runtime.services.jobs.ports import JobContext, Reject, Retry
from runtime.services.sandbox.limits import duration, size
from runtime.services.sandbox.ports import Language, Sandbox


class Payload(msgspec.Struct, forbid_unknown_fields=True):
    """The payload of `sandbox.execute`.

    Args:
        language: `javascript` or `python`.
        code: the source.
        input: what the code sees under that name.
        memory: `"8MB"`, at most `sandbox.memory`.
        timeout: `"200ms"`, at most `sandbox.timeout`.
    """

    language: Language
    code: str
    input: Any = None
    memory: str | None = None
    timeout: str | None = None


def execution_task(sandbox: Sandbox) -> Callable[..., Any]:
    """The task `sandbox.execute`: its result is the execution, also where the code fails.

    Args:
        sandbox: where the code runs.
    """

    async def execute(job: JobContext, payload: Payload) -> dict[str, Any]:
        try:
            done = await sandbox.execute(
                payload.language,
                payload.code,
                payload.input,
                memory=size(payload.memory),
                timeout=duration(payload.timeout),
                caller=f"queue:{job.queue}",
            )
        except RequestFault as fault:
            if fault.status in (429, 503):
                raise Retry(str(fault.message)) from fault
            raise Reject(str(fault.message)) from fault
        built: dict[str, Any] = msgspec.to_builtins(done)
        return built

    return execute
