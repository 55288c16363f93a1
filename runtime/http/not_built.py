"""The documented routes that this version does not have: each answers 501, after the caller has shown its
key.

An issue that builds one deletes its row; a row whose route exists is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple, NoReturn

from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from runtime.errors import NotBuilt
from runtime.http.access import ADMIN, scope, shape

Method = Literal["GET", "POST", "PUT", "DELETE"]


class Row(NamedTuple):
    """A documented path that is still to come.

    Args:
        methods: separated by spaces.
        path: its parameters in braces, with their type.
        what: what is not built, as the start of a sentence.
    """

    methods: str
    path: str
    what: str


ROWS: Final = (
    Row("GET", "/", "The dashboard"),
    Row("GET", "/asyncapi.json", "The description of the events"),
    Row("GET", "/.well-known/jwks.json", "The service of accounts"),
    Row("POST", "/v1/auth/signup", "The service of accounts"),
    Row("POST", "/v1/auth/login", "The service of accounts"),
    Row("POST", "/v1/auth/switch", "The service of accounts"),
    Row("POST", "/v1/auth/refresh", "The service of accounts"),
    Row("POST", "/v1/auth/logout", "The service of accounts"),
    Row("GET", "/v1/auth/session", "The service of accounts"),
    Row("GET", "/v1/auth/sessions", "The service of accounts"),
    Row("DELETE", "/v1/auth/sessions/{id:str}", "The service of accounts"),
    Row("POST", "/v1/auth/password", "The service of accounts"),
    Row("POST", "/v1/auth/password/reset", "The service of accounts"),
    Row("POST", "/v1/auth/password/verify", "The service of accounts"),
    Row("POST", "/v1/auth/verify", "The service of accounts"),
    Row("GET PUT", "/v1/profile", "The profile of a user"),
    Row("GET POST", "/v1/users", "The list of users"),
    Row("GET DELETE", "/v1/users/{id:str}", "The list of users"),
    Row("GET POST", "/v1/credits", "The ledger of credits"),
    Row("POST", "/v1/credits/callbacks/{processor:str}", "The ledger of credits"),
    Row("GET POST", "/v1/api-keys", "The list of API keys"),
    Row("DELETE", "/v1/api-keys/{id:str}", "The list of API keys"),
    Row("GET PUT DELETE", "/v1/provider-keys/{provider:str}", "The store of provider keys"),
    Row("GET", "/v1/queues", "The list of queues"),
    Row("GET", "/v1/queues/{queue:str}", "The view of a queue"),
    Row("POST", "/v1/queues/{queue:str}/jobs", "Posting jobs"),
    Row("POST", "/v1/queues/{queue:str}/jobs/batch", "Posting jobs in batches"),
    Row("POST", "/v1/queues/{queue:str}/pause", "Pausing a queue"),
    Row("POST", "/v1/queues/{queue:str}/resume", "Pausing a queue"),
    Row("GET", "/v1/queues/{queue:str}/dead", "The list of dead jobs"),
    Row("POST", "/v1/queues/{queue:str}/dead/replay", "Replaying dead jobs"),
    Row("GET", "/v1/jobs/{job_id:str}", "The view of a job"),
    Row("GET", "/v1/jobs/{job_id:str}/watch", "Watching a job"),
    Row("POST", "/v1/jobs/{job_id:str}/cancel", "Cancelling a job"),
    Row("POST", "/v1/jobs/{job_id:str}/retry", "Retrying a job"),
    Row("POST", "/v1/jobs/{job_id:str}/pause", "Pausing a job"),
    Row("POST", "/v1/jobs/{job_id:str}/resume", "Pausing a job"),
    Row("GET", "/v1/streams", "The list of streams"),
    Row("GET POST", "/v1/streams/{stream:str}/events", "The events of a stream"),
    Row("GET", "/v1/streams/{stream:str}/subscribe", "Subscribing to a stream"),
    Row("GET", "/v1/streams/{stream:str}/dead", "The list of dead events"),
    Row("POST", "/v1/streams/{stream:str}/dead/replay", "Replaying dead events"),
    Row("GET", "/v1/live", "The live WebSocket"),
    Row("POST", "/v1/chat/completions", "The AI gateway"),
    Row("GET", "/v1/models", "The AI gateway"),
    Row("POST", "/v1/moderations", "The AI gateway"),
    Row("POST", "/v1/embeddings", "The AI gateway"),
    Row("GET", "/v1/ai/providers", "The AI gateway"),
    Row("GET", "/v1/usage", "The AI gateway"),
    Row("GET POST", "/v1/notifications", "The service of notifications"),
    Row("POST", "/v1/notifications/read", "The inbox"),
    Row("POST", "/v1/notifications/{id:str}/read", "The inbox"),
    Row("GET", "/v1/notifications/{id:str}/deliveries", "The receipts of a notification"),
    Row("GET PUT", "/v1/notifications/preferences", "The preferences of a user"),
    Row("GET POST DELETE", "/v1/notifications/push-subscriptions", "Web push"),
    Row("GET", "/v1/notifications/vapid", "Web push"),
    Row("GET POST", "/v1/notifications/unsubscribe", "Unsubscribing"),
    Row("POST", "/v1/notifications/callbacks/{channel:str}", "The callbacks of channels"),
    Row("POST", "/v1/notifications/preview", "The preview of a notification"),
    Row("POST", "/v1/sandbox/executions", "The sandbox"),
    Row("GET", "/v1/secrets", "The service of secrets"),
    Row("POST", "/v1/secrets/{path:path}", "The service of secrets"),
    Row("POST", "/v1/runtime/plan", "Planning over HTTP"),
    Row("POST", "/v1/runtime/apply", "Applying over HTTP"),
    Row("POST", "/v1/runtime/rollback", "Rolling back"),
    Row("GET", "/v1/audit", "The audit trail"),
    Row("GET", "/v1/audit/verify", "The audit trail"),
)


def register_not_built(app: Litestar, rows: Iterable[Row] = ROWS) -> None:
    """Adds the rows whose routes the application does not have."""
    served = {
        (method, shape(route.path_format))
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
    }
    for row in rows:
        missing: list[Any] = [
            method for method in row.methods.split() if (method, shape(row.path)) not in served
        ]
        if missing:
            app.register(_handler(row, missing))


def _handler(row: Row, methods: list[Any]) -> HTTPRouteHandler:
    def refuse(request: Request[Any, Any, Any]) -> NoReturn:
        raise NotBuilt(row.what)

    handler = HTTPRouteHandler(
        row.path,
        http_method=methods,
        opt=scope(ADMIN),
        include_in_schema=False,
        sync_to_thread=False,
        status_code=200,
    )
    return handler(refuse)
