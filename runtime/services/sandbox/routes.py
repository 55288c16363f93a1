"""The HTTP call of the sandbox."""

from typing import Any

from litestar import Controller, Request, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from runtime.http.access import Caller, caller_of, scope
from runtime.http.ports import Port
from runtime.services.sandbox.bodies import ExecutionRequest
from runtime.services.sandbox.ports import Execution, Sandbox


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
        return await data.run(sandbox, caller_of(request.scope).id)
