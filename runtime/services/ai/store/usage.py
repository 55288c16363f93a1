"""Sums over the ledger of attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import case, func, select, tuple_

from runtime.services.ai.store.attempts import attempts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

GROUPS: Final = ("day", "user", "key", "provider", "model", "operation")
KINDS: Final = ("input", "cached_input", "cache_write", "output", "reasoning")


class Sum(NamedTuple):
    """What attempts of one group came to.

    Args:
        group: the values of what they are grouped by, in that order.
        calls: different ones.
        failed: attempts that did not end with an answer.
        estimated: attempts whose tokens were counted by us.
        tokens: by kind.
        cost, charged: nano-dollars.
    """

    group: tuple[Any, ...]
    calls: int
    attempts: int
    failed: int
    estimated: int
    tokens: Mapping[str, int]
    cost: int
    charged: int


async def sums(
    connection: AsyncConnection,
    by: Sequence[str],
    only: Mapping[str, str],
    days: tuple[int, int],
    *,
    after: Sequence[Any] | None = None,
    limit: int = 50,
) -> list[Sum]:
    """The sums of groups, in the order of what they are grouped by.

    Args:
        by: of `GROUPS`; of nothing there is one sum.
        only: the values that some of `GROUPS` must have.
        days: the first and the last one, since 1970-01-01.
        after: the group that comes before the first.
    """
    columns = [attempts.c[name] for name in by]
    query = select(
        *columns,
        func.count(attempts.c.call.distinct()),
        func.count(),
        func.sum(case((attempts.c.outcome == "ok", 0), else_=1)),
        func.sum(case((attempts.c.estimated, 1), else_=0)),
        *(func.sum(attempts.c[kind]) for kind in KINDS),
        func.sum(attempts.c.cost),
        func.sum(attempts.c.charged),
    ).where(attempts.c.day.between(*days), *(attempts.c[name] == value for name, value in only.items()))
    if columns:
        query = query.group_by(*columns).order_by(*columns).limit(limit)
        if after is not None:
            query = query.where(tuple_(*columns) > tuple_(*after))
    return [_sum(tuple(row), len(columns)) for row in await connection.execute(query) if row[len(columns)]]


def _sum(row: tuple[Any, ...], width: int) -> Sum:
    calls, count, failed, estimated, *rest = (int(value or 0) for value in row[width:])
    tokens = dict(zip(KINDS, rest, strict=False))
    return Sum(row[:width], calls, count, failed, estimated, tokens, *rest[len(KINDS) :])
