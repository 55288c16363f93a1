"""A Redis that someone else runs, by its URL."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import anyio

from runtime.errors import Fault, Unreachable
from runtime.storage.connection import Redis, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.storage.credentials import Credentials

REACH_LIMIT = 5.0
OLDEST = (6, 2)


class RemoteRedis(Redis):
    """Redis or Valkey at an address.

    Args:
        url: `redis://[user:password@]host[:port][/number]`, `rediss://` for TLS, `unix://path`.
        refused: called when the server refuses the password after it had taken it: there may be a new one.

    Example:
        >>> redis = RemoteRedis("redis://:secret@db.example.com:6379/0")
        >>> redis.address
        'redis://db.example.com:6379/0'
    """

    def __init__(self, url: str, *, refused: Callable[[], None] | None = None) -> None:
        super().__init__(refused)
        self._url = url
        self._address = _shown(url)
        self._credentials: Credentials | None = None

    @property
    def address(self) -> str:
        return self._address

    def _options(self) -> Mapping[str, Any]:
        from redis.asyncio.connection import parse_url

        try:
            options = dict(parse_url(self._url))
        except (ValueError, AttributeError) as error:
            raise Fault(
                f"storage.redis: {self._address} is no address of a Redis",
                remedy="Write redis://host:6379/0, rediss://host:6379/0 or unix:///path/to/socket.",
            ) from error
        return self._signed_in(options)

    def _signed_in(self, options: dict[str, Any]) -> Mapping[str, Any]:
        """User and password go where new connections ask for them."""
        from runtime.storage.credentials import Credentials

        user, password = options.pop("username", None), options.pop("password", None)
        if not (user or password):
            self._credentials = None
            return {**options, "credential_provider": None}
        self._credentials = self._credentials or Credentials()
        self._credentials.set(user, password)
        return {**options, "credential_provider": self._credentials}

    async def start(self) -> None:
        """Connects, and looks whether the server is fit.

        Raises:
            Unreachable: it does not answer within 5 s, refuses, is too old or cannot be written.
        """

        await self._try(self._options())
        self._open()

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Signs in as another user or with another password, without a gap: once a connection with them works, all new
        ones use them. Those that are open stay signed in; idle ones are replaced, so that the old password may end.

        Raises:
            Unreachable: the server refuses them; nothing has changed.
        """
        new = RemoteRedis(fields["url"])
        await new._try(new._options())
        self._url = fields["url"]
        self._options()
        self._use(self._credentials)
        await self._refresh()

    async def _try(self, options: Mapping[str, Any]) -> None:
        """Connects once, and looks whether the server is fit."""
        from redis.exceptions import RedisError

        probe = connect(options, connections=1, limit=REACH_LIMIT, patience=0.0)
        try:
            with anyio.fail_after(REACH_LIMIT):
                await probe.execute_command("PING")
                await self._inspect(probe)
        except TimeoutError as error:
            raise self._silent() from error
        except (RedisError, OSError) as error:
            raise self._explained(error) from error
        finally:
            await probe.aclose()

    async def stop(self) -> None:
        await self._close()

    async def _inspect(self, probe: Any) -> None:
        from redis.exceptions import NoPermissionError

        try:
            info = await probe.info()
        except NoPermissionError:
            return  # a managed server may forbid it; then there is nothing to look at
        version = str(info.get("redis_version", ""))
        if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise self._out_of_reach(f"it is Redis {version}", f"Use Redis {oldest} or newer, or Valkey.")
        if info.get("role") == "slave" and info.get("slave_read_only"):
            raise self._out_of_reach("it is a read-only replica", "Give the address of the primary server.")

    def _explained(self, error: Exception) -> Unreachable:
        from redis.exceptions import (
            AuthenticationError,
            AuthorizationError,
            BusyLoadingError,
            NoPermissionError,
        )
        from redis.exceptions import TimeoutError as TooLate

        text = " ".join(str(error).split())
        cause = error.__cause__ or error.__context__
        refused = isinstance(error, AuthenticationError) or isinstance(cause, AuthenticationError)
        if refused or "WRONGPASS" in text or "NOAUTH" in text:
            return self._out_of_reach("it refuses the user or password", "Check both in `storage.redis`.")
        if isinstance(error, NoPermissionError | AuthorizationError):
            return self._out_of_reach("the user may not use it", "Give that user all commands on `rt:*`.")
        if isinstance(error, BusyLoadingError):
            return self._out_of_reach("it still loads its data", "Wait until it has, and apply again.")
        if isinstance(error, TooLate):
            return self._silent()
        if isinstance(cause, ssl.SSLCertVerificationError):
            return self._out_of_reach(
                f"its certificate is not trusted ({cause.verify_message})",
                "Name the authority: `rediss://…?ssl_ca_certs=/path/ca.pem`.",
            )
        if isinstance(cause, ssl.SSLError) or isinstance(error, ssl.SSLError):
            return self._out_of_reach("it does not speak TLS", "Write redis:// where the server has no TLS.")
        return self._out_of_reach(_reason(error, cause, text))

    def _silent(self) -> Unreachable:
        reason = f"no answer within {REACH_LIMIT:g} s"
        if self._url.startswith("rediss:"):  # to a server without TLS, a greeting looks like half a command
            return self._out_of_reach(reason, "Write redis:// if the server does not speak TLS.")
        return self._out_of_reach(reason)

    def _out_of_reach(self, reason: str, remedy: str = "") -> Unreachable:
        return Unreachable(
            "storage.redis",
            self._address,
            reason,
            remedy=remedy or "Start it, correct `storage.redis`, or let one run here by `redis: embedded`.",
        )


def _reason(error: Exception, cause: BaseException | None, text: str) -> str:
    """What the operating system said, without redis-py's repetition of the address."""
    for origin in (cause, error):
        if isinstance(origin, OSError) and origin.strerror:
            return origin.strerror.lower()
    if "Connection closed by server" in text:
        return "it closed the connection; does it expect TLS (rediss://)?"
    return text


def _shown(url: str) -> str:
    """The URL without user, password and options."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the URL given"
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
    return f"{parts.scheme}://{host}{port}{unquote(parts.path)}" if parts.scheme else "the URL given"
