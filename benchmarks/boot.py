"""How long `runtime apply specs/development.yaml` takes to a served `/readyz`, and the memory of its main process.

The floor beside it is what nobody gets below with these parts: a bare Litestar application on uvicorn, which serves one
route and has no server, no queue, no database behind it. Fresh state folder each round, rounds interleaved, medians.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

from runtime.kernel.lock import running

ROUNDS = 7
SPEC = Path(__file__).parents[1] / "specs" / "development.yaml"
BARE = """
import socket, sys, uvicorn
from litestar import Litestar, get
@get("/readyz")
async def ready() -> str: return "ok"
uvicorn.run(Litestar([ready]), fd=int(sys.argv[1]), log_level="error")
"""


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def ours(folder: Path) -> tuple[float, float]:
    """Seconds to ready, MB resident in the main process."""
    spec = folder / "spec.yaml"
    spec.write_text(json.dumps({"extends": str(SPEC), "api": {"port": 0}, "storage": {"path": "state"}}))
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "runtime", "apply", str(spec)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not ((known := running(folder / "state")) and known.address and answers(known.address + "/readyz")):
                if process.poll() is not None:
                    raise SystemExit("the environment did not come up")
                time.sleep(0.002)
            return time.perf_counter() - start, psutil.Process(process.pid).memory_info().rss / 1e6
        finally:
            process.terminate()


def floor(folder: Path) -> tuple[float, float]:
    import socket

    script = folder / "bare.py"
    script.write_text(BARE)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/readyz"
        start = time.perf_counter()
        command = [sys.executable, str(script), str(listener.fileno())]
        with subprocess.Popen(command, pass_fds=[listener.fileno()], env=os.environ) as process:
            try:
                while not answers(url):
                    time.sleep(0.002)
                return time.perf_counter() - start, psutil.Process(process.pid).memory_info().rss / 1e6
            finally:
                process.terminate()


def main() -> None:
    figures: dict[str, list[tuple[float, float]]] = {"runtime apply": [], "bare Litestar": []}
    for _ in range(ROUNDS):
        for name, measure in (("runtime apply", ours), ("bare Litestar", floor)):
            with tempfile.TemporaryDirectory(prefix="runtime-bench-") as folder:
                figures[name].append(measure(Path(folder)))
    print(f"{'':<16}{'ready, s':>10}{'spread':>14}{'memory, MB':>12}   median of {ROUNDS}")
    for name, rows in figures.items():
        seconds = sorted(row[0] for row in rows)
        spread = f"{seconds[0]:.2f}–{seconds[-1]:.2f}"
        memory = statistics.median(row[1] for row in rows)
        print(f"{name:<16}{statistics.median(seconds):>10.2f}{spread:>14}{memory:>12.0f}")


if __name__ == "__main__":
    main()
