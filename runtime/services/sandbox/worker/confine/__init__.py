"""The layers between the code of a stranger and the machine; docs/sandbox-threat-model.md says what each one stops.

`Confinement` is built up in two steps. `enclose` comes before V8 has threads: user, dump, Landlock. `seal` comes when
the engine has booted: limits and the filter of system calls, for all threads.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from typing import Final

from runtime.services.sandbox.worker.confine import landlock, seccomp
from runtime.services.sandbox.worker.confine.system_calls import ARCHITECTURES

NOBODY: Final = 65534
_DEATH_SIGNAL, _DUMPABLE, _NO_NEW_PRIVILEGES = 1, 4, 38
_AMBIENT, _CLEAR_ALL = 47, 4
_CAPABILITIES_OF_64_BITS: Final = 0x20080522


class Confinement:
    """This process's confinement.

    Args:
        socket: the descriptor that stays open.
    """

    def __init__(self, socket: int) -> None:
        self._socket = socket
        self._linux = sys.platform == "linux"
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._parent = os.getppid()
        self._status = -1
        self.layers: dict[str, int] = {}
        """What stands: 0 or False says that a layer is missing."""

    def enclose(self) -> None:
        """No descriptor but the socket, no other user's rights, no files."""
        os.chdir("/")
        os.umask(0o077)
        self._close_all_but_the_socket()
        if not self._linux:
            return
        self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        self._drop_root()
        self._drop_capabilities()
        for word, value in ((_NO_NEW_PRIVILEGES, 1), (_DUMPABLE, 0), (_DEATH_SIGNAL, signal.SIGKILL)):
            self._libc.prctl(word, value, 0, 0, 0)
        if os.getppid() != self._parent:
            os._exit(0)  # it has died before this process could be bound to it
        self.layers["landlock"] = landlock.restrict(self._libc)

    def seal(self, *, headroom: int) -> None:
        """Limits, and the filter of system calls.

        Args:
            headroom: bytes of memory that may be added to what the booted engine has.
        """
        self._limit(headroom)
        architecture = ARCHITECTURES.get(platform.machine())
        self.layers["seccomp"] = 0
        if self._linux and architecture is not None:
            stands = seccomp.install(self._libc, architecture, self._socket, os.getpid())
            self.layers["seccomp"] = int(stands)

    def _close_all_but_the_socket(self) -> None:
        os.closerange(0, self._socket)
        os.closerange(self._socket + 1, 1 << 16)

    def _drop_root(self) -> None:
        if os.getuid() != 0:
            self.layers["user"] = os.getuid()
            return
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        self.layers["user"] = NOBODY

    def _drop_capabilities(self) -> None:
        """What a service may hold without being root, such as the right to serve port 80, is none of a worker's."""
        self._libc.prctl(_AMBIENT, _CLEAR_ALL, 0, 0, 0)
        self._libc.capset(struct.pack("<Ii", _CAPABILITIES_OF_64_BITS, 0), bytes(24))

    def _limit(self, headroom: int) -> None:
        none = (0, 0)
        limits = {
            resource.RLIMIT_CORE: none,
            resource.RLIMIT_FSIZE: none,
            resource.RLIMIT_MEMLOCK: none,
            resource.RLIMIT_NOFILE: (self._socket + 1, self._socket + 1),
        }
        if self._linux:
            data = self._data() + headroom
            limits |= {resource.RLIMIT_MSGQUEUE: none, resource.RLIMIT_DATA: (data, data)}
        for limit, value in limits.items():
            resource.setrlimit(limit, value)

    def _data(self) -> int:
        """Bytes of private writable memory that are mapped now; closes the file that says so."""
        text = os.pread(self._status, 8192, 0).decode()
        os.close(self._status)
        line = next(line for line in text.splitlines() if line.startswith("VmData:"))
        return int(line.split()[1]) * 1024
