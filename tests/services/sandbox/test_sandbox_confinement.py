"""What a worker can do when its V8 has been broken: native code runs in it, and finds nothing to reach."""

from __future__ import annotations

import errno
import json
import os
import platform
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from system_calls import NotSupportedSystemCall, syscalls

from runtime.services.sandbox.launch import Engine
from runtime.services.sandbox.worker.confine import seccomp
from runtime.services.sandbox.worker.confine.system_calls import ARCHITECTURES, NUMBERS
from runtime.services.sandbox.worker.protocol import Channel, packed
from tests.services.sandbox.native import FURTHER

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux confines")
known = pytest.mark.skipif(platform.machine() not in ARCHITECTURES, reason="no filter for this machine")

REFUSED = {
    "open": "passwd 0",
    "openat": "-100 passwd 0",
    "socket": "2 1 0",
    "connect": "3 0 0",
    "fcntl": "3 8 1",
    "memfd_create": "passwd 0",
    "setrlimit": "7 0",
    "ioctl": "3 21505 0",
    "sendmsg": "3 0 0",
    "pidfd_open": "1 0",
    "setuid": "0",
    "sched_setaffinity": "0 0 0",
    "setpriority": "0 0 -20",
    "getdents64": "3 0 0",
    "mkdirat": "-100 passwd 0",
    "unlinkat": "-100 passwd 0",
    "pipe2": "0 0",
    "inotify_init1": "0",
    "userfaultfd": "0",
    "shmget": "0 4096 0",
    "msgget": "0 0",
    "semget": "0 1 0",
    "sethostname": "passwd 1",
    "personality": "0",
    "close": "3",
    "dup": "3",
    "sendto": "3 0 0 0 0 0",
    "getppid": "",
    "uname": "0",
}
ARGUMENTS_REFUSED = [
    "read 0 0 0",
    "write 2 passwd 1",
    "mmap 0 4096 1 2 0 0",  # of a descriptor
    "prctl 1 0",  # not to die with the parent
    "prctl 4 1",  # to be traced
    "tgkill 1 1 9",
    "prlimit64 0 7 passwd 0",
    "prlimit64 0 7 4294967296 0",  # a pointer whose low half is empty
]


@contextmanager
def broken_worker() -> Iterator[tuple[Channel, socket.socket, subprocess.Popen[bytes], dict[str, Any]]]:
    engine = Engine.found()
    ours, theirs = socket.socketpair()
    options = {
        "socket": theirs.fileno(),
        "language": "javascript",
        "library": str(engine.library),
        "data": str(engine.data),
        "memory": 16_000_000,
        "headroom": 64_000_000,
    }
    command = [sys.executable, "-I", "-S", "-B", str(Path(__file__).with_name("native.py")), json.dumps(options)]
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()], env={"SECRET": "x"}, cwd="/") as process:
        theirs.close()
        try:
            channel = Channel(ours.fileno())
            yield channel, ours, process, channel.receive().head
        finally:
            process.kill()


@known
def test_calls_of_the_system_are_refused() -> None:
    assert set(REFUSED) == set(FURTHER)
    with broken_worker() as (channel, ours, process, facts):
        assert facts["layers"]["seccomp"] == 1
        for call in [*(f"{name} {given}" for name, given in REFUSED.items()), *ARGUMENTS_REFUSED]:
            if FURTHER.get(call.split()[0], (0, 0))[ARCHITECTURES[platform.machine()].column] is None:
                continue
            ours.sendall(packed({}, call.encode()))
            answer = channel.receive().head
            assert (answer["result"], answer["errno"]) == (-1, errno.EPERM), call
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        assert "CapEff:\t0000000000000000" in status
        (only,) = Path(f"/proc/{process.pid}/fd").iterdir()
        assert str(only.readlink()).startswith("socket:")


@known
@pytest.mark.parametrize(
    "call",
    [
        "execve passwd 0 0",
        "kill 1 9",
        "ptrace 16 1 0 0",
        "unshare 268435456",
        "process_vm_readv 1 0 0 0 0 0",
        "clone 17 0 0 0 0",
        "bpf 0 0 0",
        "io_uring_setup 1 0",
        "mount passwd passwd 0 0 0",
        "seccomp 0 0 0",
    ],
)
def test_what_only_an_attacker_calls_ends_the_process(call: str) -> None:
    with broken_worker() as (channel, ours, process, _):
        ours.sendall(packed({}, call.encode()))
        with pytest.raises(EOFError):
            channel.receive()
        assert process.wait(10) == -signal.SIGSYS


@pytest.mark.skipif(os.getuid() != 0, reason="only root is dropped")
def test_root_is_dropped() -> None:
    with broken_worker() as (_, __, process, facts):
        assert facts["layers"]["user"] == 65534
        assert "Uid:\t65534\t65534\t65534\t65534" in Path(f"/proc/{process.pid}/status").read_text()


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\nsys.path.insert(0, sys.argv[1])\n"
        "from runtime.services.sandbox.launch import Engine, Launch\n"
        "process, ours = Launch('javascript', Engine.found(), 16_000_000).start()\n"
        "ours.setblocking(True)\nours.recv(1)\nprint(process.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script), str(Path(__file__).parents[3])], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        descriptor = os.pidfd_open(pid)
        parent.kill()
        parent.wait()
    with socket.socket() as _:
        import select

        assert select.select([descriptor], [], [], 10)[0], "the worker outlived its parent"
    os.close(descriptor)


# -- the filter itself, on both machines


MACHINES = {"x86_64": ("x86_64", 62), "aarch64": ("arm64", 183)}
"""The name of a machine in the kernel's tables, and its number in the head of ELF files."""


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_numbers_are_those_of_the_kernel(machine: str) -> None:
    name_there, elf = MACHINES[machine]
    tables = syscalls()
    architecture = ARCHITECTURES[machine]

    def kernels(name: str) -> int | None:
        try:
            return int(tables.get(name, name_there))
        except NotSupportedSystemCall:
            return None

    for name in NUMBERS:
        assert architecture.number(name) == kernels(name), name
    for name, numbers in FURTHER.items():
        assert numbers[architecture.column] == kernels(name), name
    assert architecture.audit == 0xC0000000 | elf  # 64 bits, the low byte first


# -- what it means: run by an interpreter of BPF


def verdict(code: list[seccomp.Instruction], audit: int, number: int, *arguments: int) -> int:
    """What the kernel would answer."""
    words = [number, audit, 0, 0]
    for argument in [*arguments, *[0] * (6 - len(arguments))]:
        words += [argument & 0xFFFFFFFF, argument >> 32 & 0xFFFFFFFF]
    place = value = 0
    while True:
        what, yes, no, k = code[place]
        place += 1
        match what:
            case seccomp.LOAD:
                value = words[k // 4]
            case seccomp.EQUAL:
                place += yes if value == k else no
            case seccomp.AT_LEAST:
                place += yes if value >= k else no
            case seccomp.ANY_BIT:
                place += yes if value & k else no
            case seccomp.RETURN:
                return k


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_filter_means_the_same_on_each_machine(machine: str) -> None:
    architecture = ARCHITECTURES[machine]
    code = seccomp.program(architecture, socket=5, process=77)

    def of(name: str, *arguments: int) -> int:
        number = architecture.number(name)
        assert number is not None
        return verdict(code, architecture.audit, number, *arguments)

    for name in NUMBERS:
        if architecture.number(name) is None:
            continue
        if name in seccomp.PLAIN:
            assert of(name) == seccomp.ALLOW, name
        elif name in seccomp.FATAL:
            assert of(name) == seccomp.KILL, name
    assert of("read", 5) == of("write", 5) == seccomp.ALLOW
    assert of("read", 4) == of("write", 2) == seccomp.REFUSE
    assert of("mmap", 0, 0, 0, 0, 2**64 - 1) == seccomp.ALLOW
    assert of("mmap", 0, 0, 0, 0, 5) == seccomp.REFUSE
    assert of("clone", 0x3D0F00) == seccomp.ALLOW
    assert of("clone", 17) == seccomp.KILL
    assert of("clone3") == seccomp.ABSENT
    assert of("tgkill", 77) == seccomp.ALLOW
    assert of("tgkill", 78) == seccomp.REFUSE
    assert of("prlimit64", 0, 0, 0) == seccomp.ALLOW
    assert of("prlimit64", 0, 0, 2**32) == of("prlimit64", 0, 0, 1) == seccomp.REFUSE
    assert verdict(code, architecture.audit, 1000) == seccomp.REFUSE
    assert verdict(code, architecture.audit, 0x40000000) == seccomp.KILL
    assert verdict(code, 0x40000003, 0) == seccomp.KILL  # 32 bits
    assert len(code) < 4096
