"""The environment's database: connected, on the right schema, and nobody else's."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from runtime.errors import Fault, Invalid, Unreachable
from runtime.health import Health
from runtime.storage.adapters.postgresql import Postgresql
from runtime.storage.adapters.sqlite import Sqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from sqlalchemy.pool import ConnectionPoolEntry

logger = logging.getLogger("runtime.storage")

MIGRATIONS = Path(__file__).parent / "migrations"
PROBE_LIMIT = 0.8
_FAILED = "failed"
_NO_TEXT = "22021"
"""PostgreSQL's SQLSTATE for a character that is none: of what comes as JSON, NUL."""
SAMPLE = "postgresql://user:password@host:5432/name"


class Database:
    """SQLAlchemy Core over SQLite or PostgreSQL.

    Args:
        url: `sqlite` (the file `<name>.db` in the folder), `sqlite:///path`, or `postgresql://…`.
        folder: the state folder.
        name: the environment's name. It is written into the database, so that two environments do not share
            one by accident.
        root: the folder from which a relative path of SQLite starts; the current one by default.
        refused: called when the server refuses the password after it had taken it: there may be a new one.

    Example:
        >>> async with database.transaction() as connection:
        ...     await connection.execute(insert(accounts).values(name="Ada"))
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        name: str,
        *,
        root: Path | None = None,
        refused: Callable[[], None] | None = None,
    ) -> None:
        self._name = name
        self._refused = refused
        self._folder = folder
        self._root = root or Path.cwd()
        self._backend = _backend(url, folder, name, self._root)
        self._engine: AsyncEngine | None = None

    @property
    def address(self) -> str:
        """Where it is, without user or password."""
        return self._backend.address

    @property
    def engine(self) -> AsyncEngine:
        """The engine, for reads: `async with database.engine.connect() as connection`."""
        if self._engine is None:
            raise Fault("storage.database: not started", remedy="Declare `storage.database` as a need.")
        return self._engine

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that only reads: on SQLite it waits for nobody who writes.

        Raises:
            Unreachable: the database does not answer.
        """
        async with self._connection(writes=False) as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction that writes: committed at the end of the block, rolled back by an
        exception.

        Raises:
            Unreachable: the database does not answer.
            SQLAlchemyError: a statement failed, the block went on, and the database has given the transaction up.
        """
        async with self._connection(writes=True) as connection, connection.begin():
            connection.info.pop(_FAILED, None)
            yield connection
            if connection.info.pop(_FAILED, False):
                await connection.exec_driver_sql("SELECT 1")  # PostgreSQL would answer COMMIT with a silent rollback

    @asynccontextmanager
    async def turn(self, work: str, part: str) -> AsyncIterator[bool]:
        """Whether it is this holder's turn at a piece of work, for the length of the block: nobody else has it then,
        in this process or another.

        The end of a process ends its turn.

        Args:
            work: `outbox`.
            part: on PostgreSQL each part has turns of its own; on SQLite there is one for the whole work.

        Raises:
            Unreachable: the database does not answer.
        """
        async with self._backend.turn(self.transaction, work, part) as mine:
            yield mine

    async def start(self) -> None:
        """Connects, brings the schema to this version, and looks whose database it is.

        Raises:
            Unreachable: it does not answer within 5 s.
            Fault: it is damaged, cannot be written, newer than this version, or another environment's.
        """
        from sqlalchemy.exc import SQLAlchemyError

        await self._backend.check()
        if self._engine is None:
            self._engine = self._made()
        try:
            if not await self._settled():
                async with self._backend.alone(self.transaction) as connection:
                    await self._migrate(connection)
                    await self._claim(connection)
        except SQLAlchemyError as error:
            raise self._backend.explained(error) from error

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Signs in as another user or with another password, without a gap: once a connection with them works, all new
        ones use them. Transactions under way end on the connections that they have, which are closed after them.

        Raises:
            Unreachable: the server refuses them; nothing has changed.
        """
        backend = _backend(fields["url"], self._folder, self._name, self._root)
        await backend.check()
        old, self._backend = self._engine, backend
        if old is not None:
            self._engine = self._made()
            await _retire(old)

    async def stop(self) -> None:
        """Closes the connections: those in use when they are given back. Whoever asks later gets new ones."""
        if (old := self._engine) is not None:
            self._engine = self._made()
            await _retire(old)

    async def health(self) -> Health:
        """Answers a query; version, size, and connections in use."""
        from sqlalchemy.exc import SQLAlchemyError

        if self._engine is None:
            return Health("down", "not started")
        try:
            with anyio.fail_after(PROBE_LIMIT):
                async with self._connection(writes=False) as connection:
                    facts = await self._backend.facts(connection)
        except (Unreachable, SQLAlchemyError, OSError) as error:
            return Health("down", f"{self.address} does not answer ({type(error).__name__})")
        in_use = getattr(self._engine.pool, "checkedout", int)()
        return Health(details={"kind": self._backend.kind, **facts, "connections_in_use": in_use})

    def _made(self) -> AsyncEngine:
        engine = self._backend.engine(self._current, self._refused)
        _note_failures(engine)
        return engine

    def _current(self) -> str:
        """The address that is in use now; an engine that was made for an earlier one may still open connections."""
        return self._backend.url

    @asynccontextmanager
    async def _connection(self, *, writes: bool) -> AsyncIterator[AsyncConnection]:
        connection = self.engine.execution_options(writes=writes).connect()
        try:
            await connection.start()
        except Exception as error:
            raise self._explained(error) from error
        try:
            yield connection
        finally:
            with anyio.CancelScope(shield=True):
                await connection.close()

    def _explained(self, error: Exception) -> Fault:
        from sqlalchemy.exc import TimeoutError as NoneFree

        if isinstance(error, NoneFree):
            return Unreachable(
                "storage.database",
                self.address,
                "all connections are in use, and too many requests wait for one",
                remedy="Try again in a moment.",
            )
        return self._backend.explained(error)

    async def _settled(self) -> bool:
        """Whether nothing is left to do: this version's schema, with this environment's name in it."""
        async with self._connection(writes=False) as connection:
            return self._checked(await _revision(connection)) and await self._owned(connection)

    def _checked(self, found: str | None) -> bool:
        """Whether the database is on the newest known revision.

        Raises:
            Fault: it is on one that this version does not know.
        """
        known = revisions()
        if found is not None and found not in known:
            raise Fault(
                f"storage.database: {self.address} has schema {found}, newer than ours, {known[-1]}",
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
        logger.info("schema brought to %s", revisions()[-1], extra={"from": found, "address": self.address})

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
                f'storage.database: {self.address} is of the environment "{owner}", not "{self._name}"',
                remedy="Give each environment a database of its own. "
                f"Was it renamed? Then set `name` in its table `environment` to '{self._name}'.",
            )
        return owner is not None


def _note_failures(engine: AsyncEngine) -> None:
    """Marks a connection on which a statement has failed, and tells the caller of a text that cannot be kept."""
    from sqlalchemy import event

    @event.listens_for(engine.sync_engine, "handle_error")
    def failed(context: Any) -> None:
        if context.connection is not None and not context.connection.invalidated:
            context.connection.info[_FAILED] = True
        if getattr(context.original_exception, "sqlstate", None) == _NO_TEXT:
            context.chained_exception = Invalid(
                "a text holds a character that the database cannot keep", remedy="Leave NUL characters out."
            )


async def _retire(engine: AsyncEngine) -> None:
    """Closes idle connections now, and each of the others as soon as it is given back."""
    from sqlalchemy import event

    def close(connection: object, record: ConnectionPoolEntry) -> None:
        record.invalidate()

    event.listen(engine.sync_engine.pool, "checkin", close)
    await engine.dispose()


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


def _backend(url: str, folder: Path, name: str, root: Path) -> Sqlite | Postgresql:
    scheme, _, rest = url.partition("://")
    kind = scheme.partition("+")[0]
    if kind == "sqlite":
        path = rest.partition("?")[0].removeprefix("/")
        if path == ":memory:":
            raise Fault("storage.database: a database in memory would be lost", remedy="Name a file: sqlite:///app.db")
        return Sqlite(root / path if path else folder / f"{name}.db")
    if kind in ("postgresql", "postgres") and rest:
        return Postgresql(url)
    raise Fault(f'storage.database: cannot use "{kind}"', remedy=f"Write sqlite, sqlite:///path or {SAMPLE}.")
