"""The chain in the database: entries are appended, read, and removed from its old end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from runtime.services.audit import store
from runtime.services.audit.chain import FIELDS
from runtime.services.audit.entries import EPOCH, microseconds
from runtime.services.audit.ports import Entry, Place
from runtime.services.names import time_ordered
from runtime.telemetry.audit import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime.services.audit.chain import Seal
    from runtime.services.audit.ports import Wanted
    from runtime.storage.database import Database


class StoredTrail:
    """The entries of an environment, over all of its instances.

    Args:
        database: where they are.
        seal: makes their hashes.
    """

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal

    async def append(self, entries: Sequence[Mapping[str, Any]]) -> int:
        """Adds entries, in their order; those whose id has one are passed over.

        Numbers have no gaps, since the row with the last one is locked until all of them are committed.

        Args:
            entries: as `runtime.services.audit.entries.entry` makes them.

        Returns:
            How many were new.
        """
        async with self._database.transaction() as connection:
            return await self._append(connection, await store.lock(connection), entries)

    async def _append(self, connection: AsyncConnection, ends: store.Ends, entries: Sequence[Mapping[str, Any]]) -> int:
        known = await store.known(connection, {entry["id"] for entry in entries})
        seq, hash_, rows = ends.seq, ends.hash, []
        for entry in entries:
            if entry["id"] in known:
                continue
            known.add(entry["id"])
            seq += 1
            row = {**entry, "seq": seq, "key": self._seal.name}
            hash_ = self._seal.hash(hash_, [row[name] for name in FIELDS])
            rows.append({**row, "hash": hash_})
        if rows:
            await store.append(connection, rows)
        return len(rows)

    async def entries(self, wanted: Wanted, *, before: int | None, limit: int) -> list[Entry]:
        equal = {"actor": wanted.actor, "action": wanted.action, "target": wanted.target}
        async with self._database.reading() as connection:
            rows = await store.page(
                connection,
                {name: value for name, value in equal.items() if value is not None},
                microseconds(wanted.since) if wanted.since else None,
                microseconds(wanted.until) if wanted.until else None,
                before,
                limit,
            )
        return [_entry(row) for row in rows]

    async def head(self) -> Place:
        async with self._database.reading() as connection:
            ends = (await store.stand(connection)).ends
        if ends is None:
            raise store.gone()
        return Place(ends.seq, ends.hash)

    async def prune(self, keep: float) -> int:
        """Removes entries from the old end that are older than so many seconds; says so in an entry of its own.

        The chain is followed from the last one removed on: its number and hash stand in that entry.

        Returns:
            How many there were.
        """
        cutoff = microseconds(datetime.now(UTC) - timedelta(seconds=keep))
        async with self._database.transaction() as connection:
            ends = await store.lock(connection)
            last = await store.older(connection, cutoff)
            if last is None:
                return 0
            seq, hash_ = last
            removed = await store.move_anchor(connection, seq, hash_)
            said = json.dumps({"hash": hash_, "removed": removed, "through": seq}, separators=(",", ":"))
            entry = {
                "id": time_ordered(),
                "time": microseconds(datetime.now(UTC)),
                "actor": SYSTEM,
                "action": store.PRUNED,
                "target": "audit",
                "outcome": "done",
                "request": None,
                "address": None,
                "details": said,
            }
            await self._append(connection, ends, [entry])
            return removed


def _entry(row: Any) -> Entry:
    """A row as it is shown; what somebody has put there by hand is shown as well as it goes."""
    try:
        details = json.loads(row.details)
        time = EPOCH + timedelta(microseconds=int(row.time))
    except (ValueError, TypeError, OverflowError, RecursionError):
        details, time = None, EPOCH
    shown = details if isinstance(details, dict) else {"unreadable": str(row.details)[:200]}
    return Entry(
        row.seq, row.id, time, row.actor, row.action, row.target, row.outcome, row.request, row.address, shown, row.key,
        row.hash,
    )  # fmt: skip
