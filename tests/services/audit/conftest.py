"""An audit trail over real servers, and a hand that changes what it has stored."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from runtime.services.audit.chain import Seal
from runtime.services.audit.service import AuditTrail
from runtime.services.audit.spool import Spool
from runtime.services.ending import end_tasks
from runtime.storage.database import Database
from runtime.telemetry.audit import Act

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from runtime.storage.wire import WiredRedis

KEY = "a key of the tests, outside of all"
OLD_KEY = "an older key, from before that one"


class Place:
    """One instance: a database, and a trail in it."""

    def __init__(self, client: WiredRedis, url: str, folder: Path, key: str | None = None, **more: Any) -> None:
        previous: Sequence[str] = more.pop("previous_keys", ())
        self.database = Database(url, folder, "test", root=folder)
        self.spool = Spool(client, "rt:test:")
        self.trail = AuditTrail(self.database, self.spool, Seal(key, previous), **more)
        self._ends = AsyncExitStack()

    async def start(self) -> Place:
        await self.database.start()
        self._ends.push_async_callback(self.database.stop)
        return self

    async def watch(self) -> None:
        """Brings into the chain what waits, from now on."""
        task = asyncio.create_task(self.trail.watch())
        self._ends.push_async_callback(end_tasks, [task])

    async def fill(self, count: int) -> None:
        """Writes so many acts and waits until the chain has them."""
        begin = (await self.trail.head()).seq
        for number in range(count):
            await self.trail.record(Act("thing.change", f"user:{number}", f"thing:{number}", details={"n": number}))
        await self.until(begin + count)

    async def until(self, seq: int) -> None:
        """Waits until the chain is so long."""
        async with asyncio.timeout(30):
            while (await self.trail.head()).seq < seq:
                await asyncio.sleep(0.005)

    async def sql(self, statement: str, **parameters: Any) -> list[Any]:
        """The rows of a query, or nothing of a change."""
        async with self.database.transaction() as connection:
            found = await connection.execute(text(statement), parameters)
            return list(found) if found.returns_rows else []

    async def disarm(self) -> None:
        """Takes the guards off the tables, as somebody may who owns the database."""
        if (await self.head_row()) and self.database.address.startswith("sqlite"):
            await self.sql("DROP TRIGGER audit_update")
            await self.sql("DROP TRIGGER audit_delete")
            return
        await self.sql("ALTER TABLE audit DISABLE TRIGGER USER")

    async def head_row(self) -> Any:
        (row,) = await self.sql("SELECT seq, hash, anchor_seq, anchor_hash FROM audit_head")
        return row

    async def close(self) -> None:
        await self._ends.aclose()


@pytest.fixture
async def place(client: WiredRedis, url: str, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Place]]]:
    """Makes instances that share a database and a Redis."""
    made: list[Place] = []

    async def build(key: str | None = None, **more: Any) -> Place:
        at = await Place(more.pop("client", client), url, tmp_path, key, **more).start()
        made.append(at)
        return at

    yield build
    for at in reversed(made):
        await at.close()
