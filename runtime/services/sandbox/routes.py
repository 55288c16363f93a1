"""The HTTP call of the sandbox."""

from typing import Any

import msgspec
from litestar import Controller, Request, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from runtime.http.access import Caller, caller_of, scope
from runtime.http.ports import Port
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


class SandboxRoutes(Controller):
    """Running untrusted code."""

    path = "/v1/sandbox"
    tags = ["sandbox"]

    @post(
        "/executions",
        opt=scope("sandbox:run"),
        status_code=HTTP_200_OK,
        summary="Run code; the answer is 200 also when the code fails",
    )
    async def execute(
        self, request: Request[Caller, Any, Any], data: JSONBody[ExecutionRequest], sandbox: Port[Sandbox]
    ) -> Execution:
        return await sandbox.execute(
            data.language,
            data.code,
            data.input,
            memory=size(data.memory),
            timeout=duration(data.timeout),
            caller=caller_of(request.scope).id,
        )
