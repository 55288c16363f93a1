"""The HTTP calls of the outbox: what could not be delivered."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, get, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_202_ACCEPTED

from runtime.errors import Invalid
from runtime.http.access import ADMIN, scope
from runtime.http.audit import audited
from runtime.http.paging import After, Limit, Page, cursor, position
from runtime.http.ports import Port
from runtime.services.outbox.ports import Outbox, Undelivered

MAX_REPLAYED = 1000


class UndeliveredShown(msgspec.Struct):
    """An entry that could not be delivered.

    Args:
        to: where it was to go: `jobs:email`, `events:billing`.
        content: the job or the event.
        error: what was said of it.
    """

    id: int
    to: str
    content: dict[str, Any]
    error: str
    created_at: datetime

    @classmethod
    def of(cls, entry: Undelivered) -> "UndeliveredShown":
        return cls(entry.id, entry.to, entry.content, entry.error, entry.created_at)


class RedeliveryRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which entries are delivered again; all, where none is named."""

    ids: Annotated[list[int], msgspec.Meta(min_length=1, max_length=MAX_REPLAYED)] | None = None


class Redelivered(msgspec.Struct):
    """How many entries wait to be delivered again."""

    replayed: int


class OutboxRoutes(Controller):
    """Jobs and events that were committed and could not be delivered."""

    path = "/v1/outbox"
    tags = ["outbox"]
    opt = scope(ADMIN)

    @get("/dead", summary="Entries that were put aside, oldest first")
    async def dead(self, outbox: Port[Outbox], limit: Limit = 50, after: After = None) -> Page[UndeliveredShown]:
        found = await outbox.dead(after=_position(after) if after else 0, limit=limit + 1)
        shown = found[:limit]
        more = cursor("outbox", shown[-1].id) if len(found) > limit else None
        return Page([UndeliveredShown.of(entry) for entry in shown], more)

    @post(
        "/dead/replay",
        opt=audited("outbox.replay", "outbox", "ids", "replayed"),
        status_code=HTTP_202_ACCEPTED,
        summary="Deliver entries that were put aside again",
    )
    async def replay(self, data: JSONBody[RedeliveryRequest], outbox: Port[Outbox]) -> Redelivered:
        return Redelivered(await outbox.replay(data.ids))


def _position(after: str) -> int:
    known = position("outbox", after)
    if isinstance(known, int):
        return known
    raise Invalid("`after` is not a cursor of this list", remedy="Begin again without `after`.")
