"""Follows the chain from entry to entry, and names the first one at which it does not hold.

What was changed in a row no longer fits its hash; what was removed leaves a gap; what was put in stands where no number
is free, before the oldest or behind the last entry. The row with both ends is held against the entries: the last one
must be the head, and the anchor must be the one that an entry of the chain names.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Unreachable
from runtime.services.audit import store
from runtime.services.audit.ports import Broken, Place, Verified

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.services.audit.chain import Seal
    from runtime.storage.database import Database

BATCH: Final = 250
"""Rows that are read at once: some milliseconds of work, between which everything else has its turn."""

_VALUES: Final = slice(0, -1)


class Verification:
    """One walk along the chain.

    Args:
        database: where it is.
        seal: knows the keys.
        noted: an earlier head that the chain must go through.
        on_progress: is told the number that has been reached.
    """

    def __init__(self, database: Database, seal: Seal, noted: Place | None, on_progress: Callable[[int], None]) -> None:
        self._database = database
        self._seal = seal
        self._noted = noted
        self._on_progress = on_progress
        self._checked = 0
        self._keyed = False

    async def walk(self, after: Place | None, limit: int | None) -> Verified:
        """Walks; the words are those of the port `Trail`."""
        stand = await self._stand()
        if stand.ends is None:
            return self._verified(stand, after or Place(0, ""), Broken(1, "the row with the ends of the chain is gone"))
        anchor = Place(stand.ends.anchor_seq, stand.ends.anchor_hash)
        place = after or anchor
        if (broken := _at_the_ends(stand) or self._before(anchor)) is not None:
            return self._verified(stand, place, broken)
        if after is not None:
            await self._resume(after)
        while place.seq < stand.ends.seq and (limit is None or self._checked < limit):
            begun = place
            for row in await self._rows(place.seq, stand.ends.seq):
                if isinstance(row, Broken):
                    return self._verified(stand, place, row)
                if row.seq != place.seq + 1:
                    break
                if (broken := self._wrong(row, place)) is not None:
                    return self._verified(stand, place, broken)
                place = Place(row.seq, row.hash)
                self._checked += 1
            if place == begun:
                moved = await self._moved(place)
                if moved is None:
                    return self._verified(stand, place, Broken(place.seq + 1, f"entry {place.seq + 1} is missing"))
                stand, place = moved
            self._on_progress(place.seq)
            await asyncio.sleep(0)
        return self._verified(stand, place, self._at_the_head(stand, place))

    async def _resume(self, after: Place) -> None:
        """Learns whether entries had a key where an earlier walk ended."""
        for row in await self._rows(after.seq - 1, after.seq):
            self._keyed = not isinstance(row, Broken) and row.hash == after.hash and bool(row.key)

    async def _stand(self) -> store.Stand:
        async with self._database.reading() as connection:
            return await store.stand(connection)

    async def _moved(self, place: Place) -> tuple[store.Stand, Place] | None:
        """Where to go on if what comes next was removed for its age a moment ago."""
        stand = await self._stand()
        if stand.ends is None or stand.ends.anchor_seq <= place.seq or _at_the_ends(stand) is not None:
            return None
        return stand, Place(stand.ends.anchor_seq, stand.ends.anchor_hash)

    async def _rows(self, seq: int, through: int) -> list[Any]:
        """The next rows; in the place of one that cannot be read, what is wrong with it."""
        try:
            return await self._read(seq, through, BATCH)
        except Unreachable:
            raise
        except Exception:  # noqa: BLE001 - whatever a driver says of bytes that are no text
            found: list[Any] = []
            while len(found) < BATCH and seq < through:
                try:
                    one = await self._read(seq, seq + 1, 1)
                except Unreachable:
                    raise
                except Exception as error:  # noqa: BLE001
                    if found:
                        return found
                    await self._stand()  # raises where it is the database that does not answer
                    return [Broken(seq + 1, f"entry {seq + 1} cannot be read ({type(error).__name__})")]
                if not one:
                    return found
                found += one
                seq += 1
            return found

    async def _read(self, seq: int, through: int, most: int) -> list[Any]:
        async with self._database.reading() as connection:
            return await store.after(connection, seq, through, most)

    def _wrong(self, row: Any, place: Place) -> Broken | None:
        """What is wrong with a row that stands after a place."""
        if not isinstance(row.key, str) or not self._seal.knows(row.key):
            why = f"entry {row.seq} was hashed with a key that is not known here: {row.key!s:.20}"
            return Broken(row.seq, f"{why}; name it in observability.audit.previous_keys")
        if self._keyed and not row.key:
            return Broken(row.seq, f"entry {row.seq} was hashed without a key, unlike those before it")
        try:
            fits = hmac.compare_digest(self._seal.hash(place.hash, row[_VALUES]).encode(), row.hash.encode())
        except (AttributeError, TypeError, ValueError):  # what stands there has not even the types of an entry
            fits = False
        if not fits:
            return Broken(row.seq, f"entry {row.seq} or its hash was changed, or it does not follow {place.seq}")
        self._keyed = self._keyed or bool(row.key)
        if self._noted is not None and row.seq == self._noted.seq and row.hash != self._noted.hash:
            return Broken(row.seq, f"entry {row.seq} has another hash than the one that was noted")
        return None

    def _before(self, anchor: Place) -> Broken | None:
        """What a noted head says of entries that are no longer kept."""
        if self._noted is None or self._noted.seq != anchor.seq or self._noted.hash == anchor.hash:
            return None
        return Broken(anchor.seq, f"entry {anchor.seq}, removed for its age, had another hash than the one noted")

    def _at_the_head(self, stand: store.Stand, place: Place) -> Broken | None:
        """What is wrong with the end of the chain, where the walk has come there."""
        ends = stand.ends
        if ends is None or place.seq < ends.seq:
            return None
        if place.hash != ends.hash:
            return Broken(ends.seq, f"the chain ends with another hash than that of entry {ends.seq}")
        if self._seal.keyed and self._checked and not self._keyed:
            return Broken(ends.seq, "no entry was hashed with the key of the spec, not even the last one")
        if self._noted is not None and self._noted.seq > ends.seq:
            why = f"the chain ends at {ends.seq}, and {self._noted.seq} was noted: the entries after it were removed"
            return Broken(ends.seq + 1, why)
        return None

    def _verified(self, stand: store.Stand, place: Place, broken: Broken | None) -> Verified:
        ends = stand.ends
        head = Place(ends.seq, ends.hash) if ends else None
        done = broken is not None or (ends is not None and place.seq >= ends.seq)
        return Verified(self._checked, place, head, stand.first or 0, broken, done)


def _at_the_ends(stand: store.Stand) -> Broken | None:
    """What is wrong with the numbers at both ends."""
    ends = stand.ends
    if ends is None:
        return Broken(1, "the row with the ends of the chain is gone")
    first, last = stand.first, stand.last
    if first is not None and first <= ends.anchor_seq:
        return Broken(first, f"entry {first} stands before the oldest one that is kept, {ends.anchor_seq + 1}")
    if last is not None and last > ends.seq:
        return Broken(last, f"entry {last} stands behind the head, {ends.seq}")
    if (last or ends.anchor_seq) < ends.seq:
        missing = (last or ends.anchor_seq) + 1
        return Broken(missing, f"entry {missing} is missing, and all up to the head, {ends.seq}")
    if ends.anchor_seq and (ends.anchor_seq, ends.anchor_hash) != _named(stand.pruned):
        why = f"the entries up to {ends.anchor_seq} are gone, and no entry says that they were removed for their age"
        return Broken(ends.anchor_seq, why)
    return None


def _named(pruned: str | None) -> tuple[int, str] | None:
    """The anchor that an entry names."""
    try:
        said = json.loads(pruned or "")
        return said["through"], said["hash"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
