"""Signs of life of workers."""

from __future__ import annotations

import time

from runtime.services.jobs.adapters.lease import Leases
from runtime.storage.remote import RemoteRedis
from tests.valkey import running


async def test_leases_are_renewed_where_the_server_asks_for_a_password() -> None:
    with running("--requirepass", "open sesame") as own:
        storage = RemoteRedis(f"redis://:open%20sesame@127.0.0.1:{own.port}")
        await storage.start()
        await storage.client.zadd("workers", {"ada": 0})
        leases = Leases(storage.client)
        leases.keep("workers", "ada", 30.0)
        try:
            deadline = time.monotonic() + 5
            while not await storage.client.zscore("workers", "ada"):
                assert time.monotonic() < deadline, "the lease was not renewed"
        finally:
            leases.drop("workers", "ada")
            await storage.stop()
