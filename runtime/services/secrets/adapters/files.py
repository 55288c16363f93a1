"""Tells when files have changed that secrets come from.

Kubernetes swaps a mounted secret as a whole: the files are links into `..data`, a link itself, which is replaced. So
the folders are watched, and what counts is what a name leads to.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

logger = logging.getLogger("runtime.secrets")

LOOK: Final = 30_000
"""Milliseconds after which the files are looked at without being told: some mounts tell nothing."""

Signature = dict[str, tuple[int, int, int] | None]


def signature(files: Iterable[str]) -> Signature:
    """What changes when a file does: the file that its name leads to, its time and its size."""
    found: Signature = {}
    for file in files:
        try:
            state = os.stat(file)  # noqa: PTH116 - of some dozens of plain names
        except OSError:
            found[file] = None
        else:
            found[file] = state.st_ino, state.st_mtime_ns, state.st_size
    return found


async def follow(files: Callable[[], frozenset[str]], changed: Callable[[frozenset[str]], None]) -> None:
    """Calls `changed` with the files that have changed, each time that some have; never ends.

    Args:
        files: the absolute names; they may become others, and need not exist.
        changed: must not block.
    """
    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_set_at_end, stop)
        known = signature(files())
        while True:
            known = await _until_others(files, known, changed, stop)


async def _set_at_end(stop: anyio.Event) -> None:
    """The thread that watches does not hear of a cancellation; it looks at this event."""
    try:
        await anyio.sleep_forever()
    finally:
        stop.set()


async def _until_others(
    files: Callable[[], frozenset[str]],
    known: Signature,
    changed: Callable[[frozenset[str]], None],
    stop: anyio.Event,
) -> Signature:
    """Watches until other folders are to be watched; returns how the files look then."""
    from watchfiles import awatch

    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of every file in the folder
    folders = _folders(files())
    batches = awatch(
        *folders, recursive=False, watch_filter=None, debounce=400, step=100, stop_event=stop,
        rust_timeout=LOOK, yield_on_timeout=True, ignore_permission_denied=True,
    )  # fmt: skip
    try:
        async for _ in batches:
            known = _told(files(), known, changed)
            if _folders(files()) != folders:
                break  # one was made or taken away: the watch on it is gone with it
    except (OSError, RuntimeError) as error:  # the system watches no more folders for us
        logger.warning("files of secrets are looked at every %d s: %s", LOOK // 1000, error)
        await anyio.sleep(LOOK / 1000)
        known = _told(files(), known, changed)
    return known


def _told(names: frozenset[str], known: Signature, changed: Callable[[frozenset[str]], None]) -> Signature:
    """How the files look now; what differs has been told."""
    now = signature(names)
    if differing := frozenset(file for file in now if file in known and now[file] != known[file]):
        changed(differing)
    return now


def _folders(files: frozenset[str]) -> set[str]:
    """The folders to be watched: those of the names and those of what they lead to, or the nearest that exists."""
    found = set()
    for file in files:
        for name in {Path(file), Path(os.path.realpath(file))}:
            folder = name.parent
            while not folder.is_dir() and folder != folder.parent:
                folder = folder.parent
            found.add(str(folder))
    return found
