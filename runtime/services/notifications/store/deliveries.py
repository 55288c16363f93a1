"""Deliveries: what became of each notification for each recipient on each channel."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, case, func, or_, select, true, update
from sqlalchemy.dialects import postgresql, sqlite

from runtime.services.notifications.ports import Delivery
from runtime.services.notifications.store.tables import deliveries
from runtime.storage.rows import utc

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime.services.notifications.channels.port import Receipt

LONGEST_REASON = 500
REPORTED = ("delivered", "bounced", "complained", "failed")
"""Where a provider's report may take a delivery before it is noted as sent."""


_mine = update(deliveries).where(deliveries.c.id == bindparam("id_"))
_went: dict[str, Any] = {name: bindparam(f"{name}_") for name in ("provider", "provider_id", "details", "sent_at")}
_came: dict[str, Any] = {
    name: bindparam(f"{name}_") for name in ("status", "reason", "attempts", "due_at", "updated_at")
}
_RECORD = _mine.where(deliveries.c.status == "sending").values(claim=None, **_went, **_came)
# Written for many at a time, which a list of values in a statement does not allow.
_reported = or_(*(deliveries.c.status == each for each in REPORTED))
_AHEAD = _mine.where(deliveries.c.claim.is_not(None), _reported).values(claim=None, **_went)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a delivery that was in hand.

    Args:
        provider: the channel that was given it, which may be a fallback.
        receipt: what it answered.
        due_at: when it is tried again.
        tried: whether it counts as a try.
    """

    delivery: Delivery
    status: str
    reason: str
    provider: str | None = None
    receipt: Receipt | None = None
    due_at: datetime | None = None
    tried: bool = True


def name_of(notification: str, recipient: str, kind: str, address: str, step: str) -> str:
    """The id of a delivery: the same for the same message to the same address."""
    joined = "\0".join((notification, recipient, kind, address, step))
    return hashlib.sha256(joined.encode()).hexdigest()[:32]


async def add(connection: AsyncConnection, rows: Sequence[Delivery]) -> None:
    """Adds rows; those that are there already stay as they are."""
    if not rows:
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    await connection.execute(insert(deliveries).on_conflict_do_nothing(), [_row(each) for each in rows])


async def reached(connection: AsyncConnection, notification: str, step: str, recipients: Sequence[str]) -> set[str]:
    """Those of the recipients who have rows of a step already."""
    query = (
        select(deliveries.c.recipient)
        .where(
            deliveries.c.notification == notification,
            deliveries.c.step == step,
            deliveries.c.recipient.in_(recipients),
        )
        .distinct()
    )
    return set((await connection.execute(query)).scalars())


async def claim(connection: AsyncConnection, ids: Sequence[str], job: str) -> list[Delivery]:
    """Takes deliveries that are due for a job, and those that an earlier try of it had in hand when it died.

    The latter are marked as repeated: nobody knows whether they went out.
    """
    now = datetime.now(UTC)
    due = and_(deliveries.c.status == "queued", or_(deliveries.c.due_at.is_(None), deliveries.c.due_at <= now))
    again = and_(deliveries.c.status == "sending", deliveries.c.claim == job)
    mine = deliveries.c.id.in_(ids)
    change = (
        update(deliveries)
        .where(mine, or_(due, again))
        .values(
            repeated=case((deliveries.c.status == "sending", true()), else_=deliveries.c.repeated),
            status="sending",
            claim=job,
            attempts=deliveries.c.attempts + 1,
            updated_at=now,
        )
        .returning(deliveries)
    )
    return [_delivery(row) for row in await connection.execute(change)]


async def record(connection: AsyncConnection, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Writes what became of deliveries that are in hand; of those that a report has moved on meanwhile, only how they
    went out."""
    rows = [_outcome(each, now) for each in outcomes]
    written = (await connection.execute(_RECORD, rows)).rowcount
    sent = [row for row in rows if row["status_"] == "sent"]
    if sent and written != len(rows):  # -1 where the driver does not count
        await connection.execute(_AHEAD, sent)


async def move(connection: AsyncConnection, id_: str, status: str, reason: str, allowed: Collection[str]) -> bool:
    """Moves a delivery on, from one of certain states; returns whether it did."""
    change = update(deliveries).where(deliveries.c.id == id_, deliveries.c.status.in_(allowed))
    values = {"status": status, "reason": reason[:LONGEST_REASON], "updated_at": datetime.now(UTC)}
    return (await connection.execute(change.values(**values))).rowcount == 1


async def inbox_moves(
    connection: AsyncConnection, pairs: Sequence[tuple[str, str]], status: str, allowed: Collection[str]
) -> None:
    """Moves the inbox's deliveries of notifications to recipients on."""
    names = [name_of(notification, recipient, "in_app", "", "") for notification, recipient in pairs]
    change = update(deliveries).where(deliveries.c.id.in_(names), deliveries.c.status.in_(allowed))
    await connection.execute(change.values(status=status, updated_at=datetime.now(UTC)))


async def find(connection: AsyncConnection, id_: str) -> Delivery | None:
    row = (await connection.execute(select(deliveries).where(deliveries.c.id == id_))).one_or_none()
    return _delivery(row) if row else None


async def of_provider(connection: AsyncConnection, provider_id: str, channels: Sequence[str]) -> Delivery | None:
    """The delivery that a provider knows by a name."""
    query = select(deliveries).where(deliveries.c.provider_id == provider_id, deliveries.c.provider.in_(channels))
    row = (await connection.execute(query.limit(1))).one_or_none()
    return _delivery(row) if row else None


async def page(connection: AsyncConnection, notification: str, after: str, most: int) -> list[Delivery]:
    """The deliveries of a notification, by id."""
    query = (
        select(deliveries)
        .where(deliveries.c.notification == notification, deliveries.c.id > after)
        .order_by(deliveries.c.id)
        .limit(most)
    )
    return [_delivery(row) for row in await connection.execute(query)]


async def stranded(connection: AsyncConnection, before: datetime, most: int) -> list[Delivery]:
    """Deliveries that have been due since then and that no job has taken: their jobs are lost."""
    query = (
        select(deliveries)
        .where(
            deliveries.c.status == "queued",
            deliveries.c.updated_at < before,
            or_(deliveries.c.due_at.is_(None), deliveries.c.due_at < before),
        )
        .limit(most)
    )
    return [_delivery(row) for row in await connection.execute(query)]


async def abandoned(connection: AsyncConnection, before: datetime) -> int:
    """Lets deliveries wait again that nobody has in hand any more, marked; returns how many."""
    change = update(deliveries).where(deliveries.c.status == "sending", deliveries.c.updated_at < before)
    return (await connection.execute(change.values(status="queued", claim=None, repeated=True))).rowcount


async def release(connection: AsyncConnection, ids: Sequence[str], job: str) -> None:
    """Gives deliveries back that a job has claimed and not begun."""
    change = update(deliveries).where(
        deliveries.c.id.in_(ids), deliveries.c.status == "sending", deliveries.c.claim == job
    )
    values = {"status": "queued", "claim": None, "attempts": deliveries.c.attempts - 1}
    await connection.execute(change.values(**values, updated_at=datetime.now(UTC)))


async def touch(connection: AsyncConnection, ids: Sequence[str]) -> None:
    await connection.execute(update(deliveries).where(deliveries.c.id.in_(ids)).values(updated_at=datetime.now(UTC)))


async def count(connection: AsyncConnection, notification: str) -> int:
    query = select(func.count()).select_from(deliveries).where(deliveries.c.notification == notification)
    return (await connection.execute(query)).scalar_one()


async def waiting(connection: AsyncConnection) -> dict[str, int]:
    """How many are queued or in hand, by kind."""
    query = (
        select(deliveries.c.kind, func.count().label("number"))
        .where(deliveries.c.status.in_(("queued", "sending")))
        .group_by(deliveries.c.kind)
    )
    return {row.kind: row.number for row in await connection.execute(query)}


def _row(each: Delivery) -> dict[str, Any]:
    return {
        "id": each.id,
        "notification": each.notification,
        "recipient": each.recipient,
        "kind": each.kind,
        "channel": each.channel,
        "address": each.address,
        "step": each.step,
        "status": each.status,
        "reason": each.reason[:LONGEST_REASON],
        "attempts": each.attempts,
        "repeated": each.repeated,
        "items": json.dumps(list(each.items)) if each.items else None,
        "created_at": each.created_at,
        "due_at": each.due_at,
        "sent_at": each.sent_at,
        "updated_at": each.updated_at,
    }


def _outcome(each: Outcome, now: datetime) -> dict[str, Any]:
    receipt = each.receipt
    return {
        "id_": each.delivery.id,
        "status_": each.status,
        "reason_": each.reason[:LONGEST_REASON],
        "attempts_": each.delivery.attempts - (not each.tried),
        "due_at_": each.due_at,
        "updated_at_": now,
        "provider_": each.provider,
        "provider_id_": receipt.id[:255] if receipt is not None and receipt.id else None,
        "details_": json.dumps(receipt.details) if receipt is not None and receipt.details else None,
        "sent_at_": now if each.status == "sent" else None,
    }


def _delivery(row: Any) -> Delivery:
    return Delivery(
        row.id,
        row.notification,
        row.recipient,
        row.kind,
        row.channel,
        row.address,
        row.step,
        row.status,
        row.reason,
        row.provider,
        row.provider_id,
        row.attempts,
        row.repeated,
        utc(row.created_at),
        utc(row.due_at) if row.due_at else None,
        utc(row.sent_at) if row.sent_at else None,
        utc(row.updated_at),
        tuple(json.loads(row.items)) if row.items else (),
        json.loads(row.details) if row.details else {},
    )
