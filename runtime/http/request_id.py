"""Each request has an id: the caller's `X-Request-ID` where it is sane, else one of ours; logged and
returned."""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable
from typing import Final

from litestar.types import ASGIApp, Receive, Scope, Send

from runtime.http.headers import add_to_answer, header
from runtime.telemetry.context import request_id

_SANE: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
_random = random.Random()  # noqa: S311 - an id is no secret; the system's randomness would cost a call into the kernel


class RequestId:
    """Gives each request its id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        sent = header(scope, b"x-request-id")
        identity = sent if sent is not None and _SANE.fullmatch(sent) else b"%032x" % _random.getrandbits(128)
        request_id.set(identity.decode())
        add_to_answer(scope, (b"x-request-id", identity))
        return self._app(scope, receive, send)
