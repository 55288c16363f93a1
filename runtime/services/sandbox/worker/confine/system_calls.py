"""The numbers of Linux's system calls, by name: x86-64 and arm64.

Source: `asm/unistd_64.h` and `asm-generic/unistd.h` of the kernel. A call that an architecture does not have is None.
"""

from __future__ import annotations

from typing import Final, NamedTuple

NUMBERS: Final[dict[str, tuple[int, int | None]]] = {
    "read": (0, 63),
    "write": (1, 64),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "clone": (56, 220),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "exit": (60, 93),
    "kill": (62, 129),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "ptrace": (101, 117),
    "sigaltstack": (131, 132),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "chroot": (161, 51),
    "mount": (165, 40),
    "umount2": (166, 39),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "gettid": (186, 178),
    "tkill": (200, 130),
    "time": (201, None),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "tgkill": (234, 131),
    "kexec_load": (246, 104),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "unshare": (272, 97),
    "set_robust_list": (273, 99),
    "perf_event_open": (298, 241),
    "prlimit64": (302, 261),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "setns": (308, 268),
    "getcpu": (309, 168),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "finit_module": (313, 273),
    "seccomp": (317, 277),
    "getrandom": (318, 278),
    "bpf": (321, 280),
    "execveat": (322, 281),
    "membarrier": (324, 283),
    "pkey_mprotect": (329, 288),
    "pkey_alloc": (330, 289),
    "pkey_free": (331, 290),
    "rseq": (334, 293),
    "io_uring_setup": (425, 425),
    "clone3": (435, 435),
    "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
}


class Architecture(NamedTuple):
    """A machine's table.

    Args:
        audit: its number in seccomp's data, AUDIT_ARCH_… of `linux/audit.h`.
        column: its place in `NUMBERS`.
    """

    audit: int
    column: int

    def number(self, name: str) -> int | None:
        return NUMBERS[name][self.column]


ARCHITECTURES: Final = {"x86_64": Architecture(0xC000003E, 0), "aarch64": Architecture(0xC00000B7, 1)}
"""By the name that `platform.machine()` gives."""
