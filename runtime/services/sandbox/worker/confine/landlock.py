"""Landlock: no file, no port, no signal and no abstract socket beyond this process.

The rules bind the calling thread and the threads that it makes later, so they must stand before V8 makes its own.
Source: `Documentation/userspace-api/landlock.rst` of the kernel.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

_CREATE, _RESTRICT = 444, 446
_VERSION: Final = 1
_FILE_RIGHTS: Final = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}
_ALL_FILE_RIGHTS: Final = 0xFFFF
_NETWORK: Final = 0b11
_SCOPES: Final = 0b11


def version(libc: ctypes.CDLL) -> int:
    """What the kernel knows of it, 0 where nothing."""
    return max(0, int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)))


def restrict(libc: ctypes.CDLL) -> int:
    """Forbids everything that the kernel's version can forbid.

    Needs `no_new_privs`.

    Returns:
        That version; 0 where the rules do not stand.
    """
    known = version(libc)
    if not known:
        return 0
    files = _FILE_RIGHTS.get(known, _ALL_FILE_RIGHTS)
    rules = struct.pack("<QQQ", files, _NETWORK if known >= 4 else 0, _SCOPES if known >= 6 else 0)
    size = 8 if known < 4 else 16 if known < 6 else 24
    descriptor = libc.syscall(_CREATE, ctypes.c_char_p(rules), ctypes.c_size_t(size), 0)
    if descriptor < 0:
        return 0
    try:
        return known if libc.syscall(_RESTRICT, descriptor, 0) == 0 else 0
    finally:
        os.close(descriptor)
