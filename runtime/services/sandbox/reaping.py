"""The end of a child process."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess


async def reaped(process: subprocess.Popen[bytes]) -> int:
    """Waits until a child has ended, and takes its exit code.

    Returns:
        The most memory it has ever had, in bytes; 0 where somebody else has reaped it.
    """
    await _ended(process.pid)
    try:
        _, status, usage = os.wait4(process.pid, os.WNOHANG)  # noqa: ASYNC222 - it has ended
    except ChildProcessError:
        process.returncode = -signal.SIGKILL
        return 0
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * 1024


async def _ended(pid: int) -> None:
    """Waits until a child has ended; it is not reaped yet."""
    if not hasattr(os, "pidfd_open"):
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:  # noqa: ASYNC110, ASYNC222
            await asyncio.sleep(0.05)
        return
    descriptor = os.pidfd_open(pid)
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
