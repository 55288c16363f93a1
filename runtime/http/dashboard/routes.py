"""The addresses of the page. What they hold is nobody's, and so the same for everybody: nobody is asked who it is.

Whatever the page shows it gets over the API, with the cookies of whoever looks at it.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, get
from litestar.params import FromPath

from runtime.errors import NotFound
from runtime.http.access import PUBLIC
from runtime.http.dashboard.files import File, files

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",  # forms are sent by script; without it they would put a password into the address
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # no text becomes markup or code, whatever a bug of ours may try
        "trusted-types dashboard",
    )
)
"""What the page may do (CSP 3; Trusted Types): run and load files of this server, and nothing else."""

_ASK: Final = "no-cache"
_KEEP: Final = "public, max-age=31536000, immutable"

_Asked = Request[Any, Any, Any]


@get("/", opt=PUBLIC, include_in_schema=False, sync_to_thread=False)
def index(request: _Asked) -> Response[bytes]:
    """The document."""
    more = {"content-security-policy": POLICY, "cross-origin-opener-policy": "same-origin"}
    return _answer(request, files().document, _ASK, more)


@get("/dashboard/worker.js", opt=PUBLIC, include_in_schema=False, sync_to_thread=False)
def worker(request: _Asked) -> Response[bytes]:
    """The service worker; it has the addresses below `/dashboard/` and none of the API's."""
    return _answer(request, files().worker, _ASK, {})


@get("/dashboard/{version:str}/{name:path}", opt=PUBLIC, include_in_schema=False, sync_to_thread=False)
def asset(request: _Asked, version: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """A script, the style sheet, an image."""
    found = files().assets.get(str(name).lstrip("/")) if version == files().version else None
    if found is None:
        raise NotFound("there is no such file", remedy="Load the page again.")
    return _answer(request, found, _KEEP, {})


ROUTES: Final = (index, worker, asset)


def _answer(request: _Asked, file: File, caching: str, more: dict[str, str]) -> Response[bytes]:
    headers = {"etag": file.tag, "cache-control": caching, **more}
    known = request.headers.get("if-none-match", "")
    if file.tag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(b"", status_code=304, media_type=file.type, headers=headers)
    return Response(file.content, media_type=file.type, headers=headers)
