"""Preparing Python while the service runs: in a process of its own, so that a stop need not wait for a download."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runtime.errors import Fault
from runtime.services.sandbox.bundle import cache

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from runtime.services.sandbox.launch import Engine

logger = logging.getLogger("runtime.sandbox")

_PROGRAM: Final = """
import json, sys
from pathlib import Path
from runtime.errors import Fault
from runtime.services.sandbox.bundle import cache
from runtime.services.sandbox.launch import Engine
try:
    print(json.dumps({"folder": str(cache.prepared(Path(sys.argv[1]) if sys.argv[1] else None, Engine.found()))}))
except Fault as fault:
    print(json.dumps({"message": fault.message, "remedy": fault.remedy}))
"""


async def prepared(folder: Path | None, engine: Engine) -> Path:
    """The prepared Python; prepares it where it is not there.

    Raises:
        Fault: as `cache.prepared` does.
    """
    if found := cache.found(folder):
        return found
    logger.info("preparing Python for the sandbox, once: this fetches about 6 MB")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROGRAM,
        str(folder or ""),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    try:
        said, _ = await process.communicate()
    except asyncio.CancelledError:
        await _end(process)
        raise
    try:
        told = json.loads(said)
    except ValueError:
        raise Fault(f"the process that prepares Python ended with exit code {process.returncode}") from None
    if "folder" not in told:
        raise Fault(told["message"], remedy=told["remedy"])
    return Path(told["folder"])


async def _end(process: Process) -> None:
    """Ends it together with what it has started: npm, a booting interpreter."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    await process.wait()
