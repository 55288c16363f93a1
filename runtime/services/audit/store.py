"""The tables of the audit trail, and what is asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from runtime.errors import Fault, Unreachable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

AWAY: Final = (Unreachable, SQLAlchemyError, OSError)
"""What a query raises while the database is out of reach or refuses."""

PRUNED: Final = "audit.prune"
"""The action of an entry that says up to where older ones were removed."""

metadata = MetaData()

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("id", String(40), nullable=False, unique=True),
    Column("time", BigInteger, nullable=False, index=True),
    Column("actor", String(200), nullable=False),
    Column("action", String(100), nullable=False),
    Column("target", String(255)),
    Column("outcome", String(10), nullable=False),
    Column("request", String(128)),
    Column("address", String(64)),
    Column("details", Text, nullable=False),
    Column("key", String(16), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("audit_actor", "actor", "seq"),
    Index("audit_action", "action", "seq"),
    Index("audit_target", "target", "seq"),
)
"""The entries, in the order of `chain.FIELDS` and their hash; `time` counts microseconds since 1970. Triggers of the
database refuse every change, and to remove what is not older than the anchor."""

head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("anchor_seq", BigInteger, nullable=False),
    Column("anchor_hash", String(64), nullable=False),
)
"""One row: the last entry, and the anchor, which is the last one that was removed for its age."""


class Ends(NamedTuple):
    """Both ends of the chain, as its one row has them."""

    seq: int
    hash: str
    anchor_seq: int
    anchor_hash: str


class Stand(NamedTuple):
    """What is in the tables at one moment.

    Args:
        ends: None where their row is gone, or cannot be read.
        first: the lowest number.
        last: the highest.
        pruned: the details of the newest entry that says what was removed.
    """

    ends: Ends | None
    first: int | None
    last: int | None
    pruned: str | None


def gone() -> Fault:
    return Fault(
        "the audit trail does not know where it ends: the row of its table audit_head is gone",
        remedy="Somebody has changed the database: runtime audit verify SPEC tells what.",
    )


async def lock(connection: AsyncConnection) -> Ends:
    """Both ends, which nobody else moves until this transaction ends.

    Raises:
        Fault: there is no such row.
    """
    found = (await connection.execute(_ends().with_for_update())).one_or_none()
    if found is None:
        raise gone()
    return Ends(*found)


async def known(connection: AsyncConnection, ids: Collection[str]) -> set[str]:
    """Those of the ids that entries have."""
    return set((await connection.execute(select(audit.c.id).where(audit.c.id.in_(ids)))).scalars())


async def append(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds entries behind the end, which is locked."""
    await connection.execute(insert(audit), list(rows))
    await connection.execute(update(head).values(seq=rows[-1]["seq"], hash=rows[-1]["hash"]))


async def stand(connection: AsyncConnection) -> Stand:
    """What is in the tables, by one statement: on PostgreSQL two would see two moments."""
    one = select(literal(1).label("one")).subquery()
    newest = select(audit.c.details).where(audit.c.action == PRUNED).order_by(audit.c.seq.desc()).limit(1)
    query = select(
        head.c.seq,
        head.c.hash,
        head.c.anchor_seq,
        head.c.anchor_hash,
        select(func.min(audit.c.seq)).scalar_subquery(),
        select(func.max(audit.c.seq)).scalar_subquery(),
        newest.scalar_subquery(),
    ).select_from(one.outerjoin(head, head.c.id == one.c.one))
    found = (await connection.execute(query)).one()
    return Stand(_readable(found[:4]), found[4], found[5], found[6])


async def after(connection: AsyncConnection, seq: int, through: int, most: int) -> list[Any]:
    """Whole rows in their order, as they are."""
    query = select(audit).where(audit.c.seq > seq, audit.c.seq <= through).order_by(audit.c.seq).limit(most)
    return list(await connection.execute(query))


async def page(
    connection: AsyncConnection,
    equal: Mapping[str, str],
    since: int | None,
    until: int | None,
    before: int | None,
    most: int,
) -> list[Any]:
    """Whole rows, newest first."""
    conditions: list[ColumnElement[bool]] = [audit.c[name] == value for name, value in equal.items()]
    if since is not None:
        conditions.append(audit.c.time >= since)
    if until is not None:
        conditions.append(audit.c.time < until)
    if before is not None:
        conditions.append(audit.c.seq < before)
    return list(await connection.execute(select(audit).where(*conditions).order_by(audit.c.seq.desc()).limit(most)))


async def older(connection: AsyncConnection, than: int) -> tuple[int, str] | None:
    """The last entry of those at the old end that are all older; None where the first one is not."""
    young = select(func.min(audit.c.seq)).where(audit.c.time >= than).scalar_subquery()
    query = select(audit.c.seq, audit.c.hash).where(audit.c.seq < func.coalesce(young, 2**62))
    found = (await connection.execute(query.order_by(audit.c.seq.desc()).limit(1))).one_or_none()
    return (found.seq, found.hash) if found is not None else None


async def move_anchor(connection: AsyncConnection, seq: int, hash_: str) -> int:
    """Removes the entries up to one, from which the chain is followed from now on; returns how many."""
    await connection.execute(update(head).values(anchor_seq=seq, anchor_hash=hash_))
    return (await connection.execute(delete(audit).where(audit.c.seq <= seq))).rowcount


def _readable(found: Any) -> Ends | None:
    """Both ends; None where a hand has written what they cannot be, which SQLite takes."""
    ends = Ends(*found)
    fits = all(isinstance(number, int) for number in (ends.seq, ends.anchor_seq))
    return ends if fits and all(isinstance(text, str) for text in (ends.hash, ends.anchor_hash)) else None


def _ends() -> Any:
    return select(head.c.seq, head.c.hash, head.c.anchor_seq, head.c.anchor_hash).where(head.c.id == 1)
