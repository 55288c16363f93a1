"""How a worker process is started: found library, command line, limits of the kernel."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault
from runtime.services.sandbox.worker.v8 import VERSION

if TYPE_CHECKING:
    from runtime.services.sandbox.ports import Language

MAIN: Final = Path(__file__).parent / "worker" / "__main__.py"
HEADROOM: Final = {"javascript": 64_000_000, "python": 96_000_000}
"""Bytes beyond a job's own that an engine may need: V8 frees lazily, and copies when it collects."""

GROWTH: Final = {"javascript": 48_000_000, "python": 48_000_000}
"""Bytes beyond a job's own that its process may be seen to grow by."""

V8_STABLE: Final = {"14.4": date(2026, 1, 13)}
"""When the branch of V8 that a known wheel carries became Chrome's stable one."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The V8 library of the `mini-racer` wheel.

    Args:
        library: `libmini_racer.so`.
        data: `icudtl.dat`.
    """

    library: Path
    data: Path

    @classmethod
    def found(cls) -> Engine:
        """The installed one.

        Raises:
            Fault: it is not installed, or another version than the one whose C functions are known.
        """
        remedy = "pip install 'declarative-runtime[sandbox]'"
        spec = util.find_spec("py_mini_racer")
        if spec is None or spec.origin is None:
            raise Fault("the sandbox needs the package mini-racer, which is not installed", remedy=remedy)
        version = metadata.version("mini-racer")
        if version != VERSION:
            raise Fault(f"the sandbox needs mini-racer {VERSION}, {version} is installed", remedy=remedy)
        folder = Path(spec.origin).parent
        library = next((path for path in folder.glob("*mini_racer.*") if path.suffix in (".so", ".dylib")), None)
        if library is None:
            raise Fault(f"the package mini-racer has no library for this machine in {folder}", remedy=remedy)
        return cls(library, folder / "icudtl.dat")


def v8_age(version: str, today: date) -> int | None:
    """Days since the branch of a V8 version became stable; None where that is not known.

    Example:
        >>> v8_age("14.4.258.23", date(2026, 1, 20))
        7
    """
    stable = V8_STABLE.get(".".join(version.split(".")[:2]))
    return (today - stable).days if stable else None


@dataclass(frozen=True, slots=True)
class Launch:
    """What a worker is started with.

    Args:
        memory: bytes that a job may have unless it says less.
        bundle: the folder of the prepared Python; None for JavaScript.
    """

    language: Language
    engine: Engine
    memory: int
    bundle: Path | None = None

    def start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """A new process and our end of its socket.

        It gets an empty environment and no descriptor but its socket. It has to be called in a thread that lives as
        long as the process shall: the kernel ends a worker together with the thread that started it.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", str(MAIN), json.dumps(self._options(theirs.fileno()))],
                pass_fds=[theirs.fileno()],
                env={},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        ours.setblocking(False)
        return process, ours

    def _options(self, descriptor: int) -> dict[str, Any]:
        return {
            "socket": descriptor,
            "language": self.language,
            "library": str(self.engine.library),
            "data": str(self.engine.data),
            "memory": self.memory,
            "headroom": self.memory + HEADROOM[self.language],
            "bundle": str(self.bundle) if self.bundle else None,
        }
