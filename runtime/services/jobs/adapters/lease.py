"""Signs of life of this process's workers, from a thread: a handler that blocks the event loop does not lose its jobs.

They are given for as long as the process lives. A process that hangs for ever keeps what it holds: whoever watches over
it ends it by `/livez`.
"""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio.connection import SSLConnection

from runtime.services.away import AWAY, reason

if TYPE_CHECKING:
    import redis

    from runtime.services.blocking import Client

logger = logging.getLogger("runtime.jobs")

PATIENCE: Final = 2.0
"""Seconds that the server has to answer."""

RENEW: Final = """
-- KEYS the set of workers   ARGV worker, lease (s)
local moment = redis.call('TIME')
return redis.call('ZADD', KEYS[1], 'XX', moment[1] + moment[2] / 1000000 + ARGV[2], ARGV[1])
"""


class Leases:
    """Renews the leases of workers until they are dropped.

    Args:
        client: the client to take address and password from.
    """

    def __init__(self, client: Client) -> None:
        pool = client.connection_pool
        self._options = {**pool.connection_kwargs, "ssl": issubclass(pool.connection_class, SSLConnection)}
        self._workers: dict[tuple[str, str], float] = {}
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    def keep(self, workers: str, worker: str, lease: float) -> None:
        """Renews a worker's lease from now on.

        Args:
            workers: the key of the set that it stands in.
            lease: seconds for which it counts as alive after each sign.
        """
        self._workers[workers, worker] = lease
        if self._thread is None or not self._thread.is_alive():
            self._changed = threading.Event()
            self._thread = threading.Thread(
                target=_renew, args=(weakref.ref(self), self._changed, self._options), name="leases", daemon=True
            )
            self._thread.start()
        else:
            self._changed.set()

    def drop(self, workers: str, worker: str) -> None:
        """Lets a worker's lease run out; the thread ends with the last of them."""
        self._workers.pop((workers, worker), None)
        if not self._workers:
            self._thread = None
            self._changed.set()

    @property
    def workers(self) -> dict[tuple[str, str], float]:
        """Set and name of each -> its lease."""
        return dict(self._workers)


def _renew(leases: weakref.ref[Leases], changed: threading.Event, options: dict[str, Any]) -> None:
    client, away = _client(options), False
    try:
        while True:
            known = leases()
            workers = known.workers if known is not None else {}
            del known
            if not workers:
                return
            try:
                _send(client, workers)
                away = False
            except AWAY as error:
                if not away:
                    logger.warning("cannot renew the leases of running jobs: %s", reason(error))
                away = True
            changed.wait(min(0.5 if away else 60.0, min(workers.values()) / 3))
            changed.clear()
    finally:
        client.close()


def _send(client: redis.Redis, workers: dict[tuple[str, str], float]) -> None:
    for (name, worker), lease in workers.items():
        client.eval(RENEW, 1, name, worker, str(lease))


def _client(options: dict[str, Any]) -> redis.Redis:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    known: dict[str, Any] = {
        name: options[name]
        for name in ("db", "username", "password", "credential_provider")
        if options.get(name) is not None
    }
    if options.get("path"):
        known["unix_socket_path"] = options["path"]
    else:
        known |= {name: options[name] for name in ("host", "port") if name in options}
        if options["ssl"]:
            known |= {name: value for name, value in options.items() if name.startswith("ssl_") and value is not None}
        known["ssl"] = options["ssl"]
    patience: dict[str, Any] = {
        "socket_timeout": PATIENCE,
        "socket_connect_timeout": PATIENCE,
        "retry": Retry(NoBackoff(), 0),
    }
    return redis.Redis(**known, **patience)
