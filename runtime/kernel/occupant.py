"""Which process listens on a TCP port, as far as this user may see (Linux)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTENING = "0A"
WORDS = 4


def occupant(port: int, *, proc: Path = Path("/proc")) -> str:
    """Names the process that listens on a port, for a message.

    Args:
        port: a TCP port of this machine.
        proc: the process file system.

    Returns:
        `process 4711 (python -m http.server)`, or why it is not known.
    """
    inodes = frozenset(_inodes(port, proc))
    if not inodes:
        return "another process (which one could not be found out)"
    for pid in _pids(proc):
        if _holds(proc / str(pid) / "fd", inodes):
            whose = "this very process" if pid == os.getpid() else f"process {pid}"
            return f"{whose} ({_command(proc / str(pid))})"
    return "a process of another user (which one is not visible to this user)"


def _inodes(port: int, proc: Path) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] == LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                yield words[9]


def _pids(proc: Path) -> Iterator[int]:
    try:
        yield from sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit())
    except OSError:
        return


def _holds(folder: Path, inodes: frozenset[str]) -> bool:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    try:
        for entry in folder.iterdir():
            try:
                if str(entry.readlink()) in wanted:
                    return True
            except OSError:
                continue
    except OSError:
        return False
    return False


def _command(folder: Path) -> str:
    """The first words of a command line; none from the first option on that might carry a password."""
    try:
        words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        words = []
    if not words or not words[0]:
        return "unknown command"
    shown = [Path(words[0].split()[0]).name]
    for word in words[1:WORDS]:
        if not word or (word.startswith("-") and word != "-m") or "=" in word or "@" in word:
            break
        shown.append(word)
    return " ".join(shown)
