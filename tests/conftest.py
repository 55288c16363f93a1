"""What every test is held to: it leaves no process, no open port and no temporary folder behind."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import HealthCheck, settings

# Nothing is timed: a slow machine is no failure. In CI each run has the same examples, so that a red one repeats.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# A shell's background job, and a process of pytest-xdist, ignore Ctrl-C, and so would the commands that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test has printed travels between processes as UTF-8, which has no lone surrogates."""
    report = yield
    report.sections = [(title, text.encode(errors="replace").decode()) for title, text in report.sections]
    return report


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    """Fails a test that leaves something. What wider fixtures hold was there before, and does not count."""
    before = _leftovers()
    yield
    deadline = time.monotonic() + 2  # a killed process takes a moment to be reaped
    while (left := _leftovers() - before) and time.monotonic() < deadline:
        time.sleep(0.02)
    if left:
        pytest.fail("left behind: " + "; ".join(sorted(left)))


def _leftovers() -> set[str]:
    me = psutil.Process()
    found = {f"folder {path}" for path in Path(tempfile.gettempdir()).glob(f"runtime-test-{me.pid}-*")}
    for child in me.children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE and not _of_an_environment(child, me):
                found.add(f"process {child.pid} {' '.join(child.cmdline())[:120]}")
        except psutil.NoSuchProcess:
            continue
    for connection in me.net_connections(kind="inet"):
        if connection.status == psutil.CONN_LISTEN:
            found.add(f"port {connection.laddr.port}")
    return found


def _of_an_environment(child: psutil.Process, me: psutil.Process) -> bool:
    """Whether it comes and goes with what a wider fixture holds: a worker of a sandbox, a process of a browser or of a
    PostgreSQL server."""
    if child.ppid() == me.pid:
        return False
    words = child.cmdline()
    browser = any(word.startswith("--type=") for word in words) and "chrom" in words[0]
    database = any(word.startswith("postgres: ") for word in words)
    return browser or database or any("sandbox/worker/__main__.py" in word for word in words)
