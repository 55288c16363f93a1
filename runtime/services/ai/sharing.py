"""How what a fund has left is shared: among the calls that wait, and in advance among instances.

Nothing in here waits, so that purses do not change meanwhile.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from runtime.services.ai.funds import refusal
from runtime.services.ai.purse import Purse
from runtime.services.ai.till import TTL

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping, Sequence

    from runtime.errors import Fault
    from runtime.services.ai.funds import Fund

IDLE: Final = 10.0
"""Seconds without use after which a purse is given back."""
SHARE: Final = 20
"""One part in so many of what a fund has left is held in advance, at most."""
AHEAD: Final = 100
"""And no more than so many times what was asked for."""


class Request(NamedTuple):
    """A call that waits for money."""

    funds: Sequence[Fund]
    least: int
    most: int
    answer: asyncio.Future[int]


class Change(NamedTuple):
    """What a round does to a purse.

    Args:
        up: more that is held.
        drawn: what was spent and is written now.
        new: what of that was not written before, by a commit whose answer was lost.
    """

    up: int = 0
    drawn: int = 0
    new: int = 0


class Purses(dict["Fund", Purse]):
    """The purses of an instance, made as they are asked for."""

    def __missing__(self, fund: Fund) -> Purse:
        purse = self[fund] = Purse(fund)
        return purse


def decide(
    requests: Iterable[Request], totals: Mapping[Fund, int], purses: Purses, changes: dict[Purse, Change]
) -> tuple[list[tuple[Request, int]], list[tuple[Request, Fault]]]:
    """Promises what there is, in the order in which it was asked for.

    Args:
        totals: what this instance may hold of each fund in all.
        changes: what happens to the purses; what they get is added.

    Returns:
        What was granted, and who was refused.
    """
    room = {
        fund: totals[fund] - changes[purse].new - max(0, purse.held - changes[purse].drawn)
        for fund in totals
        if (purse := purses[fund]) in changes
    }
    granted: list[tuple[Request, int]] = []
    refused: list[tuple[Request, Fault]] = []
    for request in requests:
        asked = {fund: purses[fund] for fund in request.funds}
        there = {fund: room[fund] + purse.free + changes[purse].up for fund, purse in asked.items()}
        tightest = min(there, key=lambda fund: there[fund])
        amount = min(request.most, there[tightest])
        if amount < request.least:
            refused.append((request, refusal(tightest, request.least, there[tightest])))
            continue
        for fund, purse in asked.items():
            short = max(0, amount - purse.free - changes[purse].up)
            changes[purse] = changes[purse]._replace(up=changes[purse].up + short)
            room[fund] -= short
            purse.promised += amount
            purse.used = time.monotonic()
        granted.append((request, amount))
    for fund, purse in {fund: purses[fund] for request, _ in granted for fund in request.funds}.items():
        up = changes[purse].up
        if up:
            purse.share = min(room[fund] // SHARE, AHEAD * up) if room[fund] // SHARE >= up else 0
            changes[purse] = changes[purse]._replace(up=up + purse.share)
    return granted, refused


def return_idle(purses: Purses, changes: dict[Purse, Change], now: float) -> None:
    """Gives back what nobody uses, and has the rest prolonged where its time runs out."""
    for purse in purses.values():
        if unsettled(purse, now, changes.get(purse, Change()).up):
            changes.setdefault(purse, Change())
            purse.held -= max(0, _surplus(purse, now, changes[purse].up))


def unsettled(purse: Purse, now: float, up: int = 0) -> bool:
    """Whether the database has to hear of a purse."""
    ending = purse.held > 0 and purse.valid_until - now < TTL / 2
    return ending or purse.stale or purse.empty or _surplus(purse, now, up) > 0


def _surplus(purse: Purse, now: float, up: int) -> int:
    """What of a purse is to be given back; `up` is on its way into it."""
    free = purse.free + up
    return free - (min(free, purse.share) if now - purse.used < IDLE else 0)


def kept(purse: Purse, change: Change) -> int:
    """What is held of a fund after a round."""
    return max(0, purse.held - change.drawn) + change.up
