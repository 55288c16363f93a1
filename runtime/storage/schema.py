"""The schema of an environment's database: which revision it is on, brought to the newest, and whose it is."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import Fault

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

logger = logging.getLogger("runtime.storage")

MIGRATIONS = Path(__file__).parent / "migrations"


class Schema:
    """What an environment expects to find in its database.

    Args:
        name: the environment's.
        address: where the database is, without user or password.
    """

    def __init__(self, name: str, address: str) -> None:
        self._name = name
        self._address = address

    async def settled(self, connection: AsyncConnection) -> bool:
        """Whether nothing is left to do: this version's schema, with this environment's name in it.

        Raises:
            Fault: it is newer than this version, or another environment's.
        """
        return self._checked(await _revision(connection)) and await self._owned(connection)

    async def settle(self, connection: AsyncConnection) -> None:
        """Brings the schema to this version and writes the environment's name into it.

        Raises:
            Fault: as `settled`.
        """
        await self._migrate(connection)
        await self._claim(connection)

    def _checked(self, found: str | None) -> bool:
        """Whether the database is on the newest known revision.

        Raises:
            Fault: it is on one that this version does not know.
        """
        known = revisions()
        if found is not None and found not in known:
            raise Fault(
                f"storage.database: {self._address} has schema {found}, newer than ours, {known[-1]}",
                remedy="Run the version of this program that wrote it, or a newer one.",
            )
        return found == known[-1]

    async def _migrate(self, connection: AsyncConnection) -> None:
        found = await _revision(connection)
        if self._checked(found):
            return  # another process was faster
        from alembic import command  # takes 0.1 s to import, and is seldom needed
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))

        def upgrade(synchronous: Any) -> None:
            config.attributes["connection"] = synchronous
            command.upgrade(config, "head")

        await connection.run_sync(upgrade)
        logger.info("schema brought to %s", revisions()[-1], extra={"from": found, "address": self._address})

    async def _claim(self, connection: AsyncConnection) -> None:
        from sqlalchemy import insert

        from runtime.storage.tables import environment

        if not await self._owned(connection):
            row = {"id": 1, "name": self._name, "created_at": datetime.now(UTC)}
            await connection.execute(insert(environment).values(row))

    async def _owned(self, connection: AsyncConnection) -> bool:
        """Whether the database is this environment's; false where it is nobody's yet.

        Raises:
            Fault: it is another's.
        """
        from sqlalchemy import select

        from runtime.storage.tables import environment

        owner = (await connection.execute(select(environment.c.name))).scalar_one_or_none()
        if owner not in (None, self._name):
            raise Fault(
                f'storage.database: {self._address} is of the environment "{owner}", not "{self._name}"',
                remedy="Give each environment a database of its own. "
                f"Was it renamed? Then set `name` in its table `environment` to '{self._name}'.",
            )
        return owner is not None


def revisions() -> list[str]:
    """The known revisions of the schema, oldest first, by the names of their files."""
    return sorted(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


async def _revision(connection: AsyncConnection) -> str | None:
    """The revision that a database is on, read without Alembic."""
    from sqlalchemy import inspect

    if not await connection.run_sync(lambda synchronous: inspect(synchronous).has_table("alembic_version")):
        return None
    found = (await connection.exec_driver_sql("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return None if found is None else str(found)
