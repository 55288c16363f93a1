"""The HTTP calls by which providers report what became of messages."""

from typing import Any

import msgspec
from litestar import Controller, Request, Response, post
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK

from runtime.http.access import OPEN
from runtime.http.ports import Port
from runtime.services.notifications.channels.port import Callback
from runtime.services.notifications.ports import Notifications
from runtime.services.notifications.routes.shown import declared

FORM = "application/x-www-form-urlencoded"
MEDIA = frozenset({"application/json", FORM})
NO_ANSWER = "<Response/>"
"""What Twilio, which sends forms, would otherwise send to the recipient as an answer
(https://www.twilio.com/docs/messaging/twiml)."""


class ReportsTaken(msgspec.Struct):
    """How many reports told something new."""

    taken: int


class CallbackRoutes(Controller):
    """Callbacks."""

    path = "/v1/notifications/callbacks"
    tags = ["notifications"]

    @post(
        "/{channel:str}", opt={**OPEN, "media": MEDIA}, status_code=HTTP_200_OK, summary="A provider's signed reports"
    )
    async def called(
        self, channel: FromPath[str], request: Request[Any, Any, Any], notifications: Port[Notifications | None]
    ) -> Response[ReportsTaken | str]:
        headers = {name.lower(): value for name, value in request.headers.items()}
        callback = Callback(str(request.url), headers, await request.body())
        taken = await declared(notifications).reports.called(channel, callback)
        if headers.get("content-type", "").startswith(FORM):
            return Response(NO_ANSWER, media_type="text/xml")
        return Response(ReportsTaken(taken))
