"""The audit trail: entries a second into the chain, and how fast the chain is verified, on SQLite.

.venv/bin/python benchmarks/audit.py [--rows 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from runtime.services.audit.chain import Seal
from runtime.services.audit.entries import entry
from runtime.services.audit.redaction import Redaction
from runtime.services.audit.trail import StoredTrail
from runtime.services.audit.verification import Verification
from runtime.storage.database import Database
from runtime.telemetry.audit import Act

BATCH = 500


async def measure(rows: int, folder: Path) -> None:
    database, seal, redaction = Database("sqlite", folder, "audit"), Seal("k" * 32), Redaction()
    await database.start()
    trail = StoredTrail(database, seal)

    def batch(count: int) -> list[dict[str, object]]:
        about = {"session": "s" * 21, "scopes": ["jobs:write", "events:read"]}
        act = Act("api_key.create", "user:" + "u" * 21, "key:" + "k" * 12, "done", "127.0.0.1", "r" * 32, about)
        return [entry(act, redaction) for _ in range(count)]

    begun = time.perf_counter()
    for _ in range(200):
        await trail.append(batch(1))
    print(f"one entry a transaction   {200 / (time.perf_counter() - begun):>8,.0f} entries/s")
    begun = time.perf_counter()
    for _ in range(rows // BATCH):
        await trail.append(batch(BATCH))
    print(f"{BATCH} entries a transaction {rows / (time.perf_counter() - begun):>8,.0f} entries/s")
    longest, last, begun = 0.0, time.perf_counter(), time.perf_counter()

    async def watch() -> None:
        nonlocal longest, last
        while True:
            last = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - last - 0.001)

    watching = asyncio.create_task(watch())
    found = await Verification(database, seal, None, lambda seq: None).walk(None, None)
    took = time.perf_counter() - begun
    watching.cancel()
    assert found.broken is None
    print(
        f"verified                  {found.checked / took:>8,.0f} entries/s, "
        f"{100_000 * took / found.checked:.1f} s for 100,000"
    )
    print(f"the loop waited           {1000 * longest:>8.1f} ms at most meanwhile")
    await database.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(parser.parse_args().rows, Path(folder)))


if __name__ == "__main__":
    main()
