"""Attacks in a random order, a canary after each: none escapes, none is seen by the next job."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.services.sandbox.conftest import bundle
from tests.services.sandbox.probes import javascript, python

ROOT = Path(__file__).parents[3]
ORDINARY = 12_345
"""A user who owns nothing."""


SAMPLE = 50
"""Attacks in Python of a run that is no soak: some of them end the interpreter, and another takes a second to boot."""


def report(language: str, *, most: int = 1000, cache: Path | None = None, user: int | None = None) -> dict[str, Any]:
    seed = random.SystemRandom().randrange(10**6)
    command = [sys.executable, "-m", "tests.services.sandbox.probes", language, str(seed), str(most)]
    identity: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
    done = subprocess.run(
        command + ([str(cache)] if cache else []),
        cwd=ROOT,
        env={**os.environ, "SECRET_OF_THE_HOST": "1", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        **identity,
    )
    assert done.returncode == 0, f"order {seed}: {done.stderr[-2000:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    assert not found["wrong"], f"order {seed}: {found['wrong']}"
    assert found["health"] != "down"
    return found


def test_there_are_enough() -> None:
    assert len(javascript.PROBES) + len(python.PROBES) >= 120


def test_no_javascript_escapes() -> None:
    assert report("javascript")["probes"] == len(javascript.PROBES)


def test_no_python_escapes() -> None:
    found = report("python", most=SAMPLE, cache=bundle().parent)

    assert found["probes"] == SAMPLE
    assert found["statuses"]["ok"] >= 3  # else it is the sandbox that fails, and not the attacks


@pytest.mark.soak
def test_no_python_escapes_of_all() -> None:
    assert report("python", cache=bundle().parent)["probes"] == len(python.PROBES)


@pytest.mark.soak
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("language", ["javascript", "python"])
def test_none_escapes_where_the_service_runs_as_an_ordinary_user(language: str) -> None:
    command = [sys.executable, "-c", "import runtime"]
    try:
        subprocess.run(command, user=ORDINARY, group=ORDINARY, extra_groups=[], cwd=ROOT, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("an ordinary user cannot run this Python, or not read this folder")
    folder = Path(tempfile.mkdtemp(prefix=f"runtime-test-{os.getpid()}-"))
    try:
        if language == "python":
            shutil.copytree(bundle(), folder / bundle().name)
        folder.chmod(0o755)
        assert report(language, cache=folder, user=ORDINARY)["user"] == ORDINARY
    finally:
        shutil.rmtree(folder)
