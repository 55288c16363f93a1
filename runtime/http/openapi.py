"""The OpenAPI document: Litestar's, completed by what all routes share.

Each operation says which scope it needs, that it may answer with a problem, and, where it writes, that it
takes an `Idempotency-Key`.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Litestar
from litestar.routes import HTTPRoute

from runtime.http.problems import MEDIA_TYPE

_WRITES: Final = frozenset({"post", "put", "patch", "delete"})

_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key: `Authorization: Bearer rt_…`."},
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same key, as a header.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-access",
        "description": "A browser's session; changes need its `csrf` in `X-CSRF-Token`.",
    },
}

_PROBLEM: Final = {
    "type": "object",
    "description": "An error, as RFC 9457 describes it.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "Names the class of the error; stable."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What went wrong this time."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["in", "pointer", "detail"],
                "properties": {
                    "in": {"type": "string", "enum": ["body", "query", "path", "header", "cookie", "spec"]},
                    "pointer": {"type": "string", "description": "A JSON pointer (RFC 6901)."},
                    "detail": {"type": "string"},
                    "file": {"type": "string", "description": "Of a wrong spec: the file."},
                    "line": {"type": "integer"},
                    "column": {"type": "integer"},
                },
            },
        },
        "remedy": {"type": "string", "description": "What the caller can do."},
        "request_id": {"type": "string", "description": "What to give when asking for help."},
    },
}

_IDEMPOTENCY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Sent again with the same request, it gets the first answer again; kept for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

_ANSWER: Final = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def complete(document: dict[str, Any], app: Litestar) -> dict[str, Any]:
    """Adds to Litestar's document, in place, what it cannot know.

    Args:
        document: as `app.openapi_schema.to_schema()` gives it.
        app: whose routes say who may call them.
    """
    components = document.setdefault("components", {})
    components["securitySchemes"] = _SCHEMES
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    needs = {
        (route.path_format or "/", method.lower()): handler.opt.get("scope")
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
    }
    for path, item in document.get("paths", {}).items():
        for method, operation in item.items():
            if (path, method) in needs:
                _complete(operation, method, needs[path, method])
    return document


def _complete(operation: dict[str, Any], method: str, needed: str | None) -> None:
    responses = operation.setdefault("responses", {})
    for status in [status for status in responses if status.startswith("4")]:
        responses[status] = {"description": "The request is not valid.", **_ANSWER}
    if needed is None:
        operation["security"] = []
    else:
        operation["security"] = [{"bearer": []}, {"key": []}, {"session": []}]
        operation["x-scope"] = needed
        responses["401"] = {"description": "There is no valid key.", **_ANSWER}
        responses["403"] = {"description": f"The key does not have the scope {needed}.", **_ANSWER}
    responses["default"] = {"description": "Any other error.", **_ANSWER}
    if method in _WRITES:
        operation.setdefault("parameters", []).append(_IDEMPOTENCY)
