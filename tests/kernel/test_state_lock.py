from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from runtime.errors import AlreadyRunning, Fault
from runtime.kernel.lock import Holder, StateLock, running

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
HOLD = """
import sys
from pathlib import Path
from runtime.kernel.lock import StateLock
StateLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_who_holds_it_is_readable(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert running(folder) is None
    with StateLock(folder, clock=lambda: NOW) as lock:
        assert running(folder) == Holder(os.getpid(), "", "2025-01-02T03:04:05+00:00")
        lock.publish("http://127.0.0.1:8080")
        assert running(folder) == Holder(os.getpid(), "http://127.0.0.1:8080", "2025-01-02T03:04:05+00:00")
        assert json.loads((folder / "lock").read_text())["pid"] == os.getpid()
        assert stat.S_IMODE((folder / "lock").stat().st_mode) == 0o600
    assert running(folder) is None
    assert (folder / "lock").read_text() == ""


def test_a_second_one_is_refused_with_who_and_since_when(tmp_path: Path) -> None:
    with StateLock(tmp_path, clock=lambda: NOW):
        with pytest.raises(AlreadyRunning) as caught:
            StateLock(tmp_path, spec="specs/development.yaml").acquire()
        assert f"process {os.getpid()}, since 2025-01-02T03:04:05+00:00" in caught.value.message
        assert caught.value.remedy == "Stop it with `runtime down specs/development.yaml`."
    with StateLock(tmp_path):
        pass


def test_releasing_twice_is_fine(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    lock.acquire()
    lock.release()
    lock.release()


def test_a_crash_frees_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        holder = running(tmp_path)
        assert holder is not None
        assert holder.pid == process.pid
        with pytest.raises(AlreadyRunning, match=f"process {process.pid}"):
            StateLock(tmp_path).acquire()
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "lock").read_text() != ""
    assert running(tmp_path) is None
    with StateLock(tmp_path):
        pass


def test_children_do_not_inherit_it(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    lock.acquire()
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"  # only now has it let go of what it does not inherit
        lock.release()
        with StateLock(tmp_path):
            pass
        child.communicate()


@pytest.mark.parametrize("text", ["", "{}", "nonsense", '{"pid": "x"}'])
def test_a_holder_that_says_nonsense(tmp_path: Path, text: str) -> None:
    with StateLock(tmp_path):
        (tmp_path / "lock").write_text(text)
        assert running(tmp_path) == Holder(0)
        with pytest.raises(AlreadyRunning, match="another process"):
            StateLock(tmp_path).acquire()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(Fault, match="cannot use the state folder") as caught:
        StateLock(tmp_path / "state").acquire()
    assert "storage.path" in caught.value.remedy
