"""What is asked of the sandbox, by the HTTP call and as the payload of a job."""

from __future__ import annotations

from typing import Any

import msgspec

from runtime.services.sandbox.limits import duration, size
from runtime.services.sandbox.ports import Execution, Language, Sandbox


class ExecutionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Code to be run.

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

    async def run(self, sandbox: Sandbox, caller: str) -> Execution:
        """Runs it.

        Args:
            caller: whose turn it takes.

        Raises:
            As `Sandbox.execute`.
        """
        return await sandbox.execute(
            self.language,
            self.code,
            self.input,
            memory=size(self.memory),
            timeout=duration(self.timeout),
            caller=caller,
        )
