"""A worker that dies between the mail server's acceptance and the note of it.

python -m tests.services.notifications.dying_process REDIS DATABASE FOLDER PORT
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.services.notifications.site import Site
from tests.wired import wired


async def main(socket: str, url: str, folder: str, port: str) -> None:
    client = wired(socket)
    at = Site(client, url, Path(folder), int(port), {"news": {"channels": ["in_app", "email"]}}, {}, {})
    await at.start()
    send = at.mailer.send

    async def sent_and_dead(letter: Any) -> str:
        await send(letter)
        os.kill(os.getpid(), signal.SIGKILL)
        return ""

    at.mailer.send = sent_and_dead  # type: ignore[method-assign]
    await at.work("email")
    await asyncio.sleep(60)


asyncio.run(main(*sys.argv[1:]))
