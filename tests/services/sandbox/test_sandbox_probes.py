"""Attacks in a random order, a canary after each: none escapes, none is seen by the next job."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.sandbox.conftest import bundle
from tests.services.sandbox.probes import javascript, python

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
ORDINARY = 12_345
"""A user who owns nothing."""
ORDER = random.SystemRandom().randrange(10**6)
"""Of the attacks that are cut into parts: each attack stands in one of them."""
PARTS = 3
"""Into which the attacks in Python are cut: some of them end the interpreter, and another takes a while to boot."""


_REACHED = "import subprocess, sys, runtime, msgspec; subprocess.run([sys.executable, '-c', ''], check=True)"
"""A program that ends well where its user can start the interpreter and read what is installed."""


def report(
    language: str, *, part: int = 0, parts: int = 1, cache: Path | None = None, user: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What came of every attack of a part, in an order of its own.

    Args:
        user: the command that becomes another user.
    """
    seed = ORDER if parts > 1 else random.SystemRandom().randrange(10**6)
    command = [*user, sys.executable, "-m", "tests.services.sandbox.probes", language, str(seed), str(part), str(parts)]
    done = subprocess.run(
        command + ([str(cache)] if cache else []),
        cwd=ROOT,
        env={**os.environ, "SECRET_OF_THE_HOST": "1", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, f"order {seed}: {done.stderr[-2000:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    assert not found["wrong"], f"order {seed}: {found['wrong']}"
    assert found["health"] != "down"
    assert found["statuses"]["ok"] >= 3  # else it is the sandbox that fails, and not the attacks
    return found


@contextmanager
def ordinary_user() -> Iterator[tuple[tuple[str, ...], int]]:
    """The command that becomes a user who owns nothing, and that user; nobody else where the tests run as one.

    Where only root can reach the interpreter, that user is given the right to read any file. It ends with the service:
    a worker has no rights.
    """
    if os.getuid() != 0:
        yield (), os.getuid()
        return
    plain = ("setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups")
    reading = (*plain, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    for command in (plain, reading):
        try:
            check = [*command, sys.executable, "-c", _REACHED]
            if not subprocess.run(check, cwd=ROOT, capture_output=True, check=False).returncode:
                yield command, ORDINARY
                return
        except OSError:
            break
    pytest.skip("`setpriv`, which makes an ordinary user of root, is not there or may not do so")


def test_there_are_enough() -> None:
    assert len(javascript.PROBES) + len(python.PROBES) >= 120


def test_no_javascript_escapes() -> None:
    assert report("javascript")["probes"] == len(javascript.PROBES)


def test_no_python_escapes() -> None:
    found = report("python", part=random.SystemRandom().randrange(PARTS), parts=PARTS, cache=bundle().parent)

    assert found["probes"] >= len(python.PROBES) // PARTS


@pytest.mark.soak
def test_no_python_escapes_of_all() -> None:
    assert report("python", cache=bundle().parent)["probes"] == len(python.PROBES)


@pytest.mark.skipif(sys.platform != "linux", reason="other users and rights are Linux's")
def test_none_of_all_escapes_where_the_service_runs_as_an_ordinary_user() -> None:
    folder = Path(tempfile.mkdtemp(prefix=f"runtime-test-{os.getpid()}-"))
    try:
        shutil.copytree(bundle(), folder / bundle().name)
        folder.chmod(0o755)
        with ordinary_user() as (command, user), ThreadPoolExecutor() as threads:
            runs = [threads.submit(report, "javascript", user=command)]
            runs += [
                threads.submit(report, "python", part=part, parts=PARTS, cache=folder, user=command)
                for part in range(PARTS)
            ]
            reports = [run.result() for run in runs]
    finally:
        shutil.rmtree(folder)

    assert sum(found["probes"] for found in reports) == len(javascript.PROBES) + len(python.PROBES)
    assert {found["user"] for found in reports} == {user}
    assert {right for found in reports for right in found["rights"]} == {f"{user} 0000000000000000"}
