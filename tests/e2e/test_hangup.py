"""SIGHUP: the terminal is gone, or the file is to be read again."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os, signal, sys
from runtime.hangup import Hangup
hangup = Hangup()
def told(*_):
    with open(sys.argv[1], "w") as file:
        file.write("gone" if hangup.terminal_gone else "read again")
    os._exit(0)
signal.signal(signal.SIGHUP, told)
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.parametrize(
    ("closed", "nohup", "meant"),
    [(True, False, "gone"), (False, False, "read again"), (True, True, "read again")],
    ids=["closed", "asked", "closed under nohup"],
)
def test_what_is_meant(closed: bool, nohup: bool, meant: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()

    def prepare() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)

    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "told")],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=prepare,
    )
    os.close(theirs)
    try:
        assert b"ready" in os.read(ours, 1000)
        if closed:
            os.close(ours)
        else:
            child.send_signal(signal.SIGHUP)
        child.wait(20)
    finally:
        child.kill()
        child.wait()
        if not closed:
            os.close(ours)
    assert (tmp_path / "told").read_text() == meant
