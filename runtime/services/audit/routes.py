"""The HTTP calls of the audit trail: its entries, where it ends, and whether it holds."""

import re
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, get
from litestar.params import QueryParameter

from runtime.errors import Invalid, Pointer
from runtime.http.access import scope
from runtime.http.paging import After, Limit, Page, cursor, page, position_of
from runtime.http.ports import Port
from runtime.services.audit.ports import Entry, Place, Trail, Verified, Wanted

READ = "audit:read"
LARGEST: Final = 2**62
LONGEST_WALK: Final = 1_000_000

_PLACE: Final = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")

Name = Annotated[str | None, QueryParameter(max_length=255, pattern=r"^[^\x00]*$", description="Exactly so.")]
Moment = Annotated[datetime | None, QueryParameter(description="With its zone: 2026-01-31T00:00:00Z.")]


class EntryShown(msgspec.Struct):
    """An entry of the audit trail.

    Args:
        seq: where it stands, from 1, without a gap.
        actor: `user:…`, `key:…` (`key:operator` for the operator's), `address:…` of a stranger, or `system`.
        outcome: `done`; `denied`: the actor may not, or has not shown who it is; `failed`.
        request_id: as in the answer and the logs.
        address: where the request came from; of IPv6 the network.
        key: which key the hash was made with; empty for none.
        hash: of the entry before it and of all that stands here.
    """

    seq: int
    id: str
    time: datetime
    actor: str
    action: str
    target: str | None
    outcome: str
    request_id: str | None
    address: str | None
    details: dict[str, Any]
    key: str
    hash: str

    @classmethod
    def of(cls, entry: Entry) -> "EntryShown":
        return cls(
            entry.seq,
            entry.id,
            entry.time,
            entry.actor,
            entry.action,
            entry.target,
            entry.outcome,
            entry.request,
            entry.address,
            dict(entry.details),
            entry.key,
            entry.hash,
        )


class HeadShown(msgspec.Struct):
    """Where the chain ends.

    Args:
        seq: of the last entry; 0 where there is none yet.
        noted: both in one text, to be noted down elsewhere and given to `verify` later.
    """

    seq: int
    hash: str
    noted: str

    @classmethod
    def of(cls, head: Place) -> "HeadShown":
        return cls(head.seq, head.hash, str(head))


class BrokenShown(msgspec.Struct):
    """The first entry at which the chain does not hold.

    Args:
        seq: its number, or the number that is missing.
    """

    seq: int
    why: str


class VerifiedShown(msgspec.Struct):
    """How far the chain holds.

    Args:
        valid: whether nothing wrong was found.
        checked: entries that were looked at for this answer.
        first: the number of the oldest entry that is kept.
        through: up to where the chain holds.
        head: where it ends; null where the database does not say.
        next: where the rest is to be looked at; null at the end.
    """

    valid: bool
    checked: int
    first: int
    through: HeadShown
    head: HeadShown | None
    broken: BrokenShown | None
    next: str | None

    @classmethod
    def of(cls, found: Verified) -> "VerifiedShown":
        broken = BrokenShown(found.broken.seq, found.broken.why) if found.broken else None
        more = None if found.done else cursor("audit-verify", [found.through.seq, found.through.hash])
        head = HeadShown.of(found.head) if found.head else None
        through = HeadShown.of(found.through)
        return cls(broken is None, found.checked, found.first, through, head, broken, more)


class AuditRoutes(Controller):
    """The audit trail."""

    path = "/v1/audit"
    tags = ["audit"]
    opt = scope(READ)

    @get("/", summary="Who did what, newest first")
    async def entries(
        self,
        audit: Port[Trail],
        actor: Name = None,
        action: Name = None,
        target: Name = None,
        since: Moment = None,
        until: Moment = None,
        limit: Limit = 50,
        after: After = None,
    ) -> Page[EntryShown]:
        wanted = Wanted(actor, action, target, _zoned("since", since), _zoned("until", until))
        before = position_of("audit", after, int)
        found = await audit.entries(wanted, before=min(before or LARGEST, LARGEST), limit=limit + 1)
        return page("audit", [EntryShown.of(entry) for entry in found], limit, lambda entry: entry.seq)

    @get("/head", summary="Where the chain ends, to be noted down elsewhere")
    async def head(self, audit: Port[Trail]) -> HeadShown:
        return HeadShown.of(await audit.head())

    @get("/verify", summary="Whether the chain holds, and the first entry at which it does not")
    async def verify(
        self,
        audit: Port[Trail],
        head: Annotated[
            str | None, QueryParameter(max_length=90, description="A head that was noted down: `SEQ:HASH`.")
        ] = None,
        limit: Annotated[
            int | None, QueryParameter(ge=1, le=LONGEST_WALK, description="Stop after about so many entries.")
        ] = None,
        after: After = None,
    ) -> VerifiedShown:
        begun = position_of("audit-verify", after, list)
        found = await audit.verify(after=_begun(begun), limit=limit, noted=_noted(head))
        return VerifiedShown.of(found)


def _zoned(name: str, moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        wrong = Pointer(f"?{name}", "a moment with its zone, 2026-01-31T00:00:00Z")
        raise Invalid("this is no moment", errors=[wrong])
    return moment


def _noted(text: str | None) -> Place | None:
    if text is None:
        return None
    match = _PLACE.fullmatch(text)
    if match is None:
        raise Invalid(
            "this is no head of an audit trail",
            errors=[Pointer("?head", "a number, a colon and 64 hexadecimal digits")],
            remedy="Give what `runtime audit head SPEC` printed.",
        )
    return Place(int(match[1]), match[2])


def _begun(position: list[Any] | None) -> Place | None:
    match position:
        case None:
            return None
        case [int(seq), str(hash_)] if 0 <= seq < LARGEST:
            return Place(seq, hash_)
    raise Invalid(
        "`after` is not a cursor of this list",
        errors=[Pointer("?after", "pass the `next` of an earlier answer as it is")],
        remedy="Begin again without `after`.",
    )
