"""The filter of system calls: a program of classic BPF that the kernel runs before each call of any thread.

Everything that is not listed is refused with EPERM. What only an attacker would call ends the process.
Source: `Documentation/userspace-api/seccomp_filter.rst` of the kernel.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.services.sandbox.worker.confine.system_calls import Architecture

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
"""SECCOMP_RET_KILL_PROCESS."""
REFUSE: Final = 0x00050000 | 1
"""SECCOMP_RET_ERRNO with EPERM."""
ABSENT: Final = 0x00050000 | 38
"""SECCOMP_RET_ERRNO with ENOSYS: the C library then takes the older call."""

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16
_X32: Final = 0x40000000
"""On x86-64, the bit of the numbers of a second table, which nobody needs."""

# fmt: off
PLAIN: Final = (
    "futex", "clock_gettime", "getrandom", "munmap", "mprotect", "madvise", "mremap", "brk", "rt_sigprocmask",
    "rt_sigreturn", "rt_sigaction", "sigaltstack", "sched_yield", "sched_getaffinity", "getpid", "gettid",
    "getrusage", "sysinfo", "nanosleep", "clock_nanosleep", "clock_getres", "gettimeofday", "time", "getcpu",
    "exit", "exit_group", "restart_syscall", "set_robust_list", "rseq", "membarrier", "pkey_alloc", "pkey_mprotect",
    "pkey_free",
)
# fmt: on
"""Calls that are allowed with any arguments: memory, threads of its own, clocks, chance."""

# fmt: off
FATAL: Final = (
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "kill", "tkill",
    "mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "bpf", "perf_event_open", "init_module",
    "finit_module", "delete_module", "kexec_load", "keyctl", "add_key", "request_key", "io_uring_setup",
    "open_by_handle_at", "name_to_handle_at", "seccomp",
)
# fmt: on
"""Calls that end the process."""

CLONE_THREAD: Final = 0x00010000
NAME_THREAD, NAME_MEMORY = 15, 0x53564D41
"""The two words of prctl that V8 uses: PR_SET_NAME, PR_SET_VMA."""


class Check(NamedTuple):
    """What an argument of a call must be.

    Args:
        argument: its place, from 0.
        values: it must be one of these; all 64 bits count.
        bit: or: it must have this bit.
        word: whether only its low 32 bits count, as for descriptors, which the kernel cuts off itself.
    """

    argument: int
    values: tuple[int, ...] = ()
    bit: int = 0
    word: bool = True


def checks(socket: int, process: int) -> dict[str, Check]:
    """Calls that are allowed with certain arguments only."""
    return {
        "read": Check(0, (socket,)),
        "write": Check(0, (socket,)),
        "mmap": Check(4, (0xFFFFFFFF,)),  # memory, never a file
        "clone": Check(0, bit=CLONE_THREAD),
        "tgkill": Check(0, (process,)),
        "prctl": Check(0, (NAME_THREAD, NAME_MEMORY)),
        "prlimit64": Check(2, (0,), word=False),  # asking, never setting
    }


Instruction = tuple[int, int, int, int]


def program(architecture: Architecture, socket: int, process: int) -> list[Instruction]:
    """The filter.

    Args:
        architecture: whose numbers it knows; a call with another's ends the process.
        socket: the one descriptor that may be read and written.
        process: the process that may be sent signals: itself.
    """
    code: list[Instruction] = [
        (LOAD, 0, 0, _MACHINE),
        (EQUAL, 1, 0, architecture.audit),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, _NUMBER),
        (AT_LEAST, 0, 1, _X32),
        (RETURN, 0, 0, KILL),
    ]
    for name in PLAIN:
        code += _when(architecture.number(name), [(RETURN, 0, 0, ALLOW)])
    for name, check in checks(socket, process).items():
        refusal = KILL if name == "clone" else REFUSE
        code += _when(architecture.number(name), [*_checked(check, refusal)])
    code += _when(architecture.number("clone3"), [(RETURN, 0, 0, ABSENT)])
    for name in FATAL:
        code += _when(architecture.number(name), [(RETURN, 0, 0, KILL)])
    return [*code, (RETURN, 0, 0, REFUSE)]


def _when(number: int | None, block: list[Instruction]) -> list[Instruction]:
    """Runs a block, which ends with RETURN, for a call of that number; the number stays loaded for what follows."""
    return [] if number is None else [(EQUAL, 0, len(block), number), *block]


def _checked(check: Check, refusal: int) -> Iterable[Instruction]:
    low = _ARGUMENTS + 8 * check.argument
    if not check.word:  # the high half first: it must be empty
        yield from [(LOAD, 0, 0, low + 4), (EQUAL, 1, 0, 0), (RETURN, 0, 0, refusal)]
    yield (LOAD, 0, 0, low)
    if check.bit:
        yield from [(ANY_BIT, 0, 1, check.bit), (RETURN, 0, 0, ALLOW)]
    for value in check.values:
        yield from [(EQUAL, 0, 1, value), (RETURN, 0, 0, ALLOW)]
    yield (RETURN, 0, 0, refusal)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def install(libc: ctypes.CDLL, architecture: Architecture, socket: int, process: int) -> bool:
    """Puts the filter on every thread of this process, for good.

    Returns:
        Whether the kernel took it.
    """
    code = program(architecture, socket, process)
    data = b"".join(struct.pack("<HBBI", *instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(data, len(data))
    described = _Program(len(code), ctypes.addressof(buffer))
    set_filter, all_threads = 1, 1
    number = architecture.number("seccomp")
    return bool(libc.syscall(number, set_filter, all_threads, ctypes.byref(described)) == 0)
