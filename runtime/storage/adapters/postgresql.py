"""PostgreSQL by its URL."""

from __future__ import annotations

import hashlib
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from runtime.errors import Fault, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    Transaction = Callable[[], AbstractAsyncContextManager[AsyncConnection]]

REACH_LIMIT = 5.0
PATIENCE = 5.0
"""Seconds for which a connection is tried again while the server refuses a password that it had taken before."""
AGAIN = 0.1
LOCK_LIMIT = 30.0
CONNECTIONS = 10
OLDEST = 13
MIGRATION_LOCK = 0x72756E74696D65
"""Any number that no other program takes for an advisory lock: "runtime" in ASCII."""
INSTALL = "pip install 'declarative-runtime[postgresql]'"
REFUSALS = {
    "28P01": ("it refuses the password", "Check the password in `storage.database`."),
    "28000": ("it refuses the user", "Check the user, and the server's pg_hba.conf."),
    "3D000": ("it has no such database", "Create it: `createdb {name}`."),
    "42501": ("the user may not do that", "Let the user own the database."),
    "53300": ("it has no connection left", "Raise its `max_connections`."),
    "55P03": ("another process migrates it", "Wait until it has, and apply again."),
    "57P03": ("it starts or stops", "Wait until it has, and apply again."),
}
"""What the server's error codes mean for the reader, and what to do."""


class Postgresql:
    """A database of a PostgreSQL server.

    Args:
        url: `postgresql://[user:password@]host[:port]/name`, with libpq's options such as `?sslmode=require`.
    """

    kind = "postgresql"

    def __init__(self, url: str) -> None:
        self.url = "postgresql://" + url.partition("://")[2]
        self.address = _shown(self.url)
        self._name = self.address.rpartition("/")[2]

    async def check(self) -> None:
        """Connects once.

        Raises:
            Unreachable: no answer within 5 s, or a refusal, with what to do.
            Fault: the driver is not installed.
        """
        try:
            import asyncpg
        except ModuleNotFoundError as error:
            message = "storage.database: PostgreSQL needs the driver asyncpg, which is not installed"
            raise Fault(message, remedy=f"Install it: {INSTALL}") from error
        try:
            with anyio.fail_after(REACH_LIMIT):
                connection = await asyncpg.connect(self.url, timeout=REACH_LIMIT)
                version = connection.get_server_version()
                await connection.close()
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise self.explained(error) from error
        if version.major < OLDEST:
            raise self._out_of_reach(f"it is PostgreSQL {version.major}", f"Use PostgreSQL {OLDEST} or newer.")

    def engine(self, url: Callable[[], str], refused: Callable[[], None] | None = None) -> AsyncEngine:
        """The engine.

        Args:
            url: gives the address with its present user and password.
            refused: called when the server refuses the password. It may have been changed a moment ago, so connecting
                is tried again for a while, with what `url` says then.
        """
        import asyncpg
        from sqlalchemy.ext.asyncio import create_async_engine

        refusals = (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)

        async def connection() -> Any:
            deadline = anyio.current_time() + PATIENCE
            while True:
                try:
                    return await asyncpg.connect(url(), timeout=REACH_LIMIT)
                except refusals:
                    if refused is None or anyio.current_time() > deadline:
                        raise
                    refused()
                await anyio.sleep(AGAIN)

        # The driver reads the URL itself, so that all of libpq's options work.
        return create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connection,
            pool_size=CONNECTIONS,
            max_overflow=CONNECTIONS,
            pool_timeout=REACH_LIMIT,
            pool_pre_ping=True,
            hide_parameters=True,  # an error ends in logs and dead letters; what was written may be a secret
        )

    @asynccontextmanager
    async def alone(self, transaction: Transaction) -> AsyncIterator[AsyncConnection]:
        """A transaction during which no other process migrates."""
        async with transaction() as connection:
            await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_LIMIT:g}s'")
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            yield connection

    @asynccontextmanager
    async def turn(self, transaction: Transaction, work: str, part: str) -> AsyncIterator[bool]:
        """A turn is an advisory lock that ends with its transaction, so that it passes through a connection pooler."""
        digest = hashlib.blake2b(f"{work}:{part}".encode(), digest_size=8).digest()
        number = int.from_bytes(digest, signed=True)
        async with transaction() as connection:
            yield bool((await connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({number})")).scalar_one())

    async def facts(self, connection: AsyncConnection) -> dict[str, Any]:
        query = """
            SELECT current_setting('server_version') AS version,
                   pg_database_size(current_database()) AS size_bytes
        """
        return dict((await connection.exec_driver_sql(query)).mappings().one())

    def explained(self, error: Exception) -> Fault:
        """What a failure means for the reader."""
        from sqlalchemy.exc import SQLAlchemyError

        cause = getattr(error, "orig", None) or error
        code = getattr(cause, "sqlstate", None) or getattr(cause.__cause__, "sqlstate", None)
        if code in REFUSALS:
            reason, remedy = REFUSALS[code]
            return self._out_of_reach(reason, remedy.format(name=self._name))
        if isinstance(cause, ssl.SSLCertVerificationError):
            return self._out_of_reach("its certificate is not trusted", "Add `sslrootcert=/path/ca.pem`.")
        if isinstance(cause, ssl.SSLError) or "SSL upgrade" in str(cause):
            return self._out_of_reach("it does not speak TLS", "Check `sslmode` in `storage.database`.")
        if isinstance(cause, TimeoutError):
            return self._out_of_reach(f"no answer within {REACH_LIMIT:g} s")
        if isinstance(cause, OSError):
            return self._out_of_reach((cause.strerror or str(cause)).lower())
        if code is None and not isinstance(error, SQLAlchemyError):
            return Fault(  # the URL itself is wrong, and the driver's text may quote its password
                f"storage.database: {self.address} is no address of a PostgreSQL database",
                remedy="Write postgresql://user:password@host:5432/name.",
            )
        return self._out_of_reach(" ".join(str(cause).split()))

    def _out_of_reach(self, reason: str, remedy: str = "") -> Unreachable:
        remedy = remedy or "Start it, correct `storage.database`, or leave it out to use SQLite."
        return Unreachable("storage.database", self.address, reason, remedy=remedy)


def _shown(url: str) -> str:
    """The URL without user, password and options."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the URL given"
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
    return f"postgresql://{host}{port}{parts.path}"
