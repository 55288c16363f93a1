"""A worker of runs in a process of its own, to be killed."""

from __future__ import annotations

import asyncio
import json
import sys

from tests.services.routines.site import Site
from tests.wired import wired


async def main(socket: str, routines: str) -> None:
    site = await Site(wired(socket), json.loads(routines)).start("run")
    await site.workers[0].watch()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
