"""Errors as answers: RFC 9457 `application/problem+json`.

    {"type": "/docs#invalid", "title": "Invalid request", "status": 400, "detail": "…",
     "errors": [{"in": "body", "pointer": "/payload/to", "detail": "…"}], "remedy": "…", "request_id": "…"}

`type` names the class of the error and opens its explanation on the docs page. Nothing of the server's
inside is ever in it: an error that is not the caller's is logged under the request's id, and the answer
holds that id.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.enums import ParamType
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import Send
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from runtime.errors import Fault, Invalid, NotBuilt, Pointer, RequestFault, SpecFault, Unauthenticated, Unreachable
from runtime.spec.diagnostics import Diagnostic
from runtime.telemetry.context import request_id

MEDIA_TYPE: Final = "application/problem+json"
UNREACHABLE_RETRY: Final = 2.0
"""Seconds after which a caller may try again when a dependency is away: an embedded server is back by
then."""

_log = logging.getLogger("runtime.http")

_SOURCES: Final = {"?": "query", "#": "header"}
_MISSING: Final = re.compile(r"Missing required (\w+) parameter '(.+)' for path ")
_MEMBER: Final = re.compile(r"\[(\d+)\]|\[\.\.\.\]|([^.\[\]]+)")
_DOTTED: Final = re.compile(r'"((?:[^"])*)"|\[(\d+)\]|([^.\[\]"]+)')
"""The parts of a path of the spec, as `runtime.spec.diagnostics.dotted` writes it."""
_IN_BODY: Final = re.compile(r"(.*) - at `\$\.data\.(.*)`", re.DOTALL)


class Unsupported(RequestFault):
    """The body is of a media type that the route does not read."""

    status = 415
    title = "Media type not supported"


class Problem(msgspec.Struct, omit_defaults=True):
    """An error as the API answers it.

    Args:
        type: names the class of the error; stable, for programs.
        title: the same for every error of that class.
        status: the HTTP status.
        detail: what went wrong this time.
        errors: each wrong place of the request: `in` (body, query, path, header), a JSON `pointer` and a
            `detail`; of a wrong spec (`in: spec`) the `file`, the `line` and the `column`, too.
        remedy: what the caller can do.
        request_id: what to give when asking for help.
    """

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] = []
    remedy: str = ""
    request_id: str = ""


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    """A problem as a response."""
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )


async def send_problem(send: Send, error: Exception, *, method: str = "") -> None:
    """Answers a request with an error, from outside of Litestar."""
    problem, headers = describe(error)
    body = b"" if method == "HEAD" else msgspec.json.encode(problem)
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **headers}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def handle(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for everything."""
    return answer(*describe(error))


def describe(error: Exception) -> tuple[Problem, dict[str, str]]:
    """An error as a problem, with the headers that belong to it.

    What is not the caller's fault is logged here.
    """
    if isinstance(error, Fault):
        return _fault(error)
    if isinstance(error, ValidationException):
        return _problem("invalid", "Invalid request", 400, "The request is not valid.", _places(error)), {}
    if place := _named_as_a_port(error):
        return _problem("invalid", "Invalid request", 400, "The request is not valid.", [place]), {}
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _client_error(error)
    if isinstance(error, RedisConnectionError | RedisTimeoutError):
        return _unreachable("storage.redis", error)
    return _internal(error)


def _problem(
    kind: str,
    title: str,
    status: int,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    remedy: str = "",
) -> Problem:
    return Problem(f"/docs#{kind}", title, status, detail, errors or [], remedy, request_id.get() or "")


def kind_of(fault: type[Fault]) -> str:
    """The name of a class of errors in `type`: `too-many` of `TooMany`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", fault.__name__).lower()


def _fault(fault: Fault) -> tuple[Problem, dict[str, str]]:
    if isinstance(fault, Unreachable):
        return _unreachable(fault.name, fault)
    if isinstance(fault, SpecFault):
        places = [_spec_place(found) for found in fault.diagnostics]
        return _problem("spec-fault", fault.title, fault.status, fault.message, places), {}
    if fault.status >= 500 and not isinstance(fault, NotBuilt | RequestFault):
        return _internal(fault)
    headers = {}
    errors: list[dict[str, Any]] = []
    retry_after = getattr(fault, "retry_after", None)
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    if isinstance(fault, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="runtime"'
    if isinstance(fault, Invalid):
        errors = [_place(pointer) for pointer in fault.errors]
    kind = kind_of(type(fault))
    return _problem(kind, fault.title, fault.status, fault.message, errors, fault.remedy), headers


def _place(pointer: Pointer) -> dict[str, str]:
    """`?limit` is a query parameter, `#X-Name` a header, `/limit` stands in the body."""
    source = _SOURCES.get(pointer.pointer[:1])
    if source is not None:
        return {"in": source, "pointer": f"/{_escaped(pointer.pointer[1:])}", "detail": pointer.detail}
    return {"in": "body", "pointer": pointer.pointer, "detail": pointer.detail}


def _spec_place(found: Diagnostic) -> dict[str, Any]:
    pointer = "".join(f"/{_escaped(index or quoted or name)}" for quoted, index, name in _DOTTED.findall(found.path))
    place = {"file": found.file, "line": found.line, "column": found.column} if found.line else {"file": found.file}
    return {"in": "spec", "pointer": pointer, "detail": found.message, **place}


def _client_error(error: HTTPException) -> tuple[Problem, dict[str, str]]:
    status = HTTPStatus(error.status_code)
    kinds = {404: "not-found", 413: "too-large", 429: "too-many", 401: "unauthenticated", 403: "forbidden"}
    kind = kinds.get(status, status.phrase.lower().replace(" ", "-"))
    allowed = (error.headers or {}).get("allow", "none")
    details = {
        404: "There is nothing at this address.",
        405: f"This address does not answer to the method; it does to {allowed}.",
    }
    detail = details.get(status, error.detail if status == 400 else f"{status.phrase}.")
    return _problem(kind, status.phrase, status, detail), dict(error.headers or {})


def _unreachable(name: str, error: Exception) -> tuple[Problem, dict[str, str]]:
    _log.warning("a request failed: %s does not answer", name, extra={"reason": str(error)})
    problem = _problem(
        "unreachable",
        Unreachable.title,
        Unreachable.status,
        f"{name} does not answer at the moment.",
        remedy="Try again in a moment.",
    )
    return problem, {"Retry-After": str(math.ceil(UNREACHABLE_RETRY))}


def _internal(error: Exception) -> tuple[Problem, dict[str, str]]:
    _log.error("a request failed: %s", type(error).__name__, exc_info=error)
    return _problem(
        "internal",
        Fault.title,
        500,
        "Something went wrong in the server.",
        remedy="Give the request_id when you ask for help.",
    ), {}


def _places(error: ValidationException) -> list[dict[str, str]]:
    missing = _MISSING.match(error.detail)
    if missing:
        return [{"in": missing[1], "pointer": f"/{_escaped(missing[2])}", "detail": "it is missing"}]
    extra = error.extra if isinstance(error.extra, list) else []
    return [_wrong_place(item) for item in extra if isinstance(item, dict)]


def _named_as_a_port(error: Exception) -> dict[str, str] | None:
    """What is wrong with a field of the body that has a port's name: Litestar takes it for a mistake of ours."""
    wrong = _IN_BODY.fullmatch(str(error.__cause__)) if isinstance(error.__cause__, msgspec.ValidationError) else None
    return {"in": "body", "pointer": _pointer(wrong[2]), "detail": wrong[1]} if wrong else None


def _wrong_place(item: dict[str, Any]) -> dict[str, str]:
    """One of Litestar's messages; its key is `data` for the whole body, else a path: `items[0].name`."""
    key, message = str(item.get("key", "")), str(item.get("message", ""))
    source = ParamType(item["source"]).value if item.get("source") not in (None, "body") else "body"
    if source != "body":
        return {"in": source, "pointer": f"/{_escaped(key)}", "detail": message}
    if key == "data":
        if message == "'data'":  # a KeyError's text: there was no body
            message = "a JSON body is needed"
        named = re.fullmatch(r"Object (?:missing required|contains unknown) field `(.+)`", message)
        if named:
            return {"in": "body", "pointer": f"/{_escaped(named[1])}", "detail": message}
        return {"in": "body", "pointer": "", "detail": message}
    return {"in": "body", "pointer": _pointer(key), "detail": message}


def _pointer(path: str) -> str:
    """`items[0].name` as `/items/0/name`.

    `[...]` stands for any key of a mapping; what lies below it has no address.
    """
    parts = []
    for match in _MEMBER.finditer(path):
        if match[0] == "[...]":
            break
        parts.append(match[1] or match[2])
    return "".join(f"/{_escaped(part)}" for part in parts)


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
