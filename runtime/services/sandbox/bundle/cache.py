"""Where the prepared Python is kept: a folder for each version of its parts, written whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from runtime.errors import Fault
from runtime.services.sandbox.bundle import fetch
from runtime.services.sandbox.bundle.prepare import prepared as prepared_files
from runtime.services.sandbox.launch import MAIN, Engine
from runtime.services.sandbox.worker.protocol import Channel
from runtime.services.sandbox.worker.v8 import VERSION as ENGINE

Tell = Callable[[str, float], None]
"""Is told of each step and how far all of it has come, from 0 to 1."""

MARK: Final = "bundle.json"
"""The file that is written last: a folder that has it is complete."""


def place(folder: Path | None) -> Path:
    """The folder of this version.

    Args:
        folder: that of all versions; the user's cache where None.
    """
    base = (
        folder or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "declarative-runtime" / "sandbox"
    )
    return base / f"pyodide-{fetch.VERSION}-{_fingerprint()}"


def found(folder: Path | None) -> Path | None:
    """The prepared Python where it is complete and nobody else can have changed it."""
    known = place(folder)
    return known if (known / MARK).exists() and _trusted(known) else None


def prepared(folder: Path | None, engine: Engine, tell: Tell = lambda step, part: None) -> Path:
    """The prepared Python; fetches and prepares it where it is not there. One process at a time does.

    Raises:
        Fault: it cannot be fetched, prepared or written.
    """
    if known := found(folder):
        return known
    target = place(folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (target.parent / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                tell("Waiting for another process that prepares it", 0.0)
                fcntl.flock(lock, fcntl.LOCK_EX)
            return found(folder) or _built(target, engine, tell)
    except OSError as error:
        raise Fault(
            f"Python for the sandbox cannot be kept in {target.parent}: {error.strerror}",
            remedy="Set sandbox.cache to a folder that can be written, or build it there as its owner.",
        ) from error


def _built(target: Path, engine: Engine, tell: Tell) -> Path:
    with tempfile.TemporaryDirectory(prefix="building-", dir=target.parent) as name:
        making = Path(name) / target.name
        making.mkdir()
        tell(f"Fetching Pyodide {fetch.VERSION}", 0.05)
        files = fetch.pyodide()
        tell("Preparing it", 0.6)
        for file, content in prepared_files(files).items():
            (making / file).write_bytes(content)
        tell("Taking a snapshot of a booted interpreter", 0.7)
        memory, top = _snapshot(making, engine)
        (making / "snapshot.bin").write_bytes(memory)
        (making / MARK).write_text(json.dumps({"pyodide": fetch.VERSION, "engine": ENGINE, "top": top}))
        making.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        making.rename(target)
    tell("Ready", 1.0)
    return target


def _snapshot(folder: Path, engine: Engine) -> tuple[bytes, int]:
    """The memory of an interpreter, booted in a confined process as a worker's."""
    ours, theirs = socket.socketpair()
    options = {
        "socket": theirs.fileno(),
        "snapshot": True,
        "library": str(engine.library),
        "data": str(engine.data),
        "bundle": str(folder),
    }
    with (
        ours,
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", str(MAIN), json.dumps(options)],
            pass_fds=[theirs.fileno()],
            env={},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        theirs.close()
        try:
            frame = Channel(ours.fileno()).receive()
        except EOFError:
            raise Fault(f"the process that boots Pyodide ended with exit code {process.wait()}") from None
        finally:
            process.kill()
    if frame.head["kind"] != "snapshot":
        raise Fault(f"Pyodide could not be prepared: {frame.head.get('reason')}")
    return frame.body, int(frame.head["top"])


def _fingerprint() -> str:
    """Of all that a snapshot depends on besides Pyodide: another engine or shell needs another one."""
    from runtime.services.sandbox.worker import python

    parts = (fetch.SHA512, ENGINE, python.SHELL, python.SEVER, python.WARM)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _trusted(folder: Path) -> bool:
    """Whether only this user or root can have written it."""
    known = folder.stat()
    return known.st_uid in (0, os.getuid()) and not known.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
