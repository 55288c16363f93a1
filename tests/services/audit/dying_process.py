"""An instance in a process of its own that dies by SIGKILL at a chosen moment.

Arguments: the socket of Redis, the database, the state folder, and the moment: `spooled` (before the chain has
anything), `committed` (before Redis knows that the chain has it), or `any` (when it is killed from outside).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

from runtime.services.audit.spool import Spool
from runtime.services.audit.trail import StoredTrail
from runtime.telemetry.audit import Act
from tests.services.audit.conftest import Place
from tests.wired import wired


async def die(*_: Any, **__: Any) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


async def main(socket: str, url: str, folder: Path, moment: str) -> None:
    at = await Place(wired(socket), url, folder).start()
    if moment == "spooled":
        StoredTrail.append = die  # type: ignore[method-assign]
    if moment == "committed":
        Spool.remove = die  # type: ignore[method-assign, assignment]
    if moment == "any":
        await at.watch()
    for number in count() if moment == "any" else range(3):
        await at.trail.record(Act("thing.change", "user:1", f"thing:{number}"))
    await at.watch()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
