"""What a Redis client says when the server is out of reach, and how that reaches a caller."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from redis.exceptions import ConnectionError as Broken
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as TooLate

from runtime.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.services.blocking import Client

AWAY: Final = (Broken, TooLate, OSError, RedisError)
"""What a command raises while the server is out of reach, is loading or refuses."""

_REMEDY: Final = "Try again: it may come back by itself. See `runtime status` for its state."


@contextmanager
def answering(client: Client) -> Iterator[None]:
    """Turns a broken connection into the fault that callers know.

    Raises:
        Unreachable: the server does not answer, or refuses.
    """
    try:
        yield
    except (Broken, TooLate, OSError) as error:
        raise Unreachable("storage.redis", _address(client), reason(error), remedy=_REMEDY) from error
    except RedisError as error:
        said = f"it refused: {reason(error)}"
        raise Unreachable("storage.redis", _address(client), said, remedy=_REMEDY) from error


def reason(error: BaseException) -> str:
    """What an exception says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _address(client: Client) -> str:
    known = client.connection_pool.connection_kwargs
    return str(known.get("path") or f"{known.get('host', 'localhost')}:{known.get('port', 6379)}")
