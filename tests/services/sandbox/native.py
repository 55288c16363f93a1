"""A worker whose engine is broken: it boots and is confined as every worker, then calls the system at our will.

    python -I -S -B native.py OPTIONS

Reads `name [number …]` lines from its socket; answers with the system's result and errno.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from runtime.services.sandbox.worker.__main__ import boot
from runtime.services.sandbox.worker.confine.system_calls import ARCHITECTURES
from runtime.services.sandbox.worker.protocol import Channel

FURTHER = {
    "open": (2, None),
    "openat": (257, 56),
    "socket": (41, 198),
    "connect": (42, 203),
    "fcntl": (72, 25),
    "memfd_create": (319, 279),
    "setrlimit": (160, 164),
    "ioctl": (16, 29),
    "sendmsg": (46, 211),
    "pidfd_open": (434, 434),
    "setuid": (105, 146),
    "sched_setaffinity": (203, 122),
    "setpriority": (141, 140),
    "getdents64": (217, 61),
    "mkdirat": (258, 34),
    "unlinkat": (263, 35),
    "pipe2": (293, 59),
    "inotify_init1": (294, 26),
    "userfaultfd": (323, 282),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "sethostname": (170, 161),
    "personality": (135, 92),
    "close": (3, 57),
    "dup": (32, 23),
    "sendto": (44, 206),
    "getppid": (110, 173),
    "uname": (63, 160),
}


def main() -> None:
    options = json.loads(sys.argv[1])
    channel = Channel(options["socket"])
    libc = ctypes.CDLL(None, use_errno=True)
    column = ARCHITECTURES[platform.machine()].column
    library = ctypes.create_string_buffer(b"/etc/passwd\0")
    _, facts = boot(options)
    channel.send(facts)
    while True:
        name, *numbers = channel.receive().body.decode().split()
        number = FURTHER[name][column] if name in FURTHER else ARCHITECTURES[platform.machine()].number(name)
        assert number is not None
        given = [
            ctypes.addressof(library) if word == "passwd" else os.getpid() if word == "self" else int(word)
            for word in numbers
        ]
        ctypes.set_errno(0)
        result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(word) for word in given))
        channel.send({"result": result, "errno": ctypes.get_errno()})


if __name__ == "__main__":
    try:
        main()
    finally:
        os._exit(0)
