"""Errors as OpenAI's clients read them: a problem of RFC 9457 that also has the member `error`.

{"type": "/docs#invalid", "title": "…", "status": 400, "detail": "…", …,
 "error": {"message": "…", "type": "invalid_request_error", "param": "messages", "code": null}}
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Request, Response

from runtime.errors import Invalid
from runtime.http.problems import MEDIA_TYPE, describe
from runtime.services.ai.accounting import BudgetSpent, Refused
from runtime.services.ai.faults import CODES, ProviderFault

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


def ai_problem(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for the calls of models."""
    problem, headers = describe(error)
    body = msgspec.to_builtins(problem)
    param = None
    if isinstance(error, Invalid) and error.errors:
        param = error.errors[0].pointer.strip("/").partition("/")[0] or None
    message = " ".join(part for part in (problem.detail, problem.remedy) if part)
    body["error"] = {
        "message": message,
        "type": _TYPES.get(problem.status, "server_error"),
        "param": param,
        "code": _code(error),
    }
    headers = {"X-Should-Retry": "false", **headers} if problem.status == 402 else headers
    return Response(msgspec.json.encode(body), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def _code(error: Exception) -> str | None:
    if isinstance(error, ProviderFault):
        return error.code
    if isinstance(error, Refused):
        return "content_policy_violation"
    if isinstance(error, BudgetSpent):
        return "budget_spent"
    return next((code for kind, code in CODES.items() if type(error) is kind), None)
