"""Tasks and a subscriber for the operator's views: they succeed, fail, wait, and say what strangers may say."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from runtime import Event, JobContext, subscriber, task

HOSTILE = "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'> \u202egnp.exe\u202c"
LARGE = 990_000


@dataclass
class Work:
    """What is wanted."""

    size: int = 0


@task("works.done")
async def done(job: JobContext, payload: Work) -> dict[str, str]:
    """Succeeds."""
    return {"text": HOSTILE + "x" * payload.size}


@task("works.fails")
async def fails(job: JobContext, payload: Work) -> str:
    """Fails until somebody has mended it."""
    if Path(os.environ["MENDED"]).exists():
        return "mended"
    raise RuntimeError(HOSTILE)


@task("works.waits")
async def waits(job: JobContext, payload: Work) -> None:
    """Is half done until it is cancelled."""
    await job.progress(0.5, f"half done {HOSTILE}")
    await asyncio.sleep(600)


@subscriber("works.takes")
async def takes(event: Event) -> None:
    """Fails until somebody has mended it."""
    if not Path(os.environ["MENDED"]).exists():
        raise RuntimeError(HOSTILE)
