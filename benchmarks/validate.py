"""`runtime validate` beside check-jsonschema and ajv: whole processes on the same specs, interleaved.

    python benchmarks/validate.py [--rounds 15] [--output benchmarks/results/validate.json]

Every tool reads a YAML file and checks it against the same `schemas/spec.v1.json`. Ours also merges overlays, keeps
positions and checks that names exist; the others do not, so the comparison is in their favour. ajv is installed into
`benchmarks/.peers` where node is there, and left out where it is not. The specs are made by `write_spec`; they differ
only in the number of lines.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "schemas" / "spec.v1.json"
PEERS = ROOT / "benchmarks" / ".peers"
SIZES = (970, 10_000)

# Bytecode is cached as it is for every installed package, whatever this shell says.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def write_spec(lines: int) -> str:
    """A valid spec of about so many lines, of every kind of section that grows in practice."""
    head = [
        "version: 1",
        "name: benchmark",
        "events:",
        "  streams:",
        *(f"    stream-{n}: {{events: {{item.made: {{}}, item.gone: {{}}}}}}" for n in range(10)),
        "ai:",
        "  providers:",
        '    openai: {kind: openai, api_key: "${OPENAI_API_KEY}", limits: {requests: 500/m}, timeout: 60s}',
        "  chains: {default: [openai/gpt-5]}",
        "queues:",
    ]
    queues: list[str] = []
    schedules = ["schedules:"]
    number = 0
    while len(head) + len(queues) + len(schedules) < lines:
        queues += [
            f"  queue-{number}:",
            "    handler: notifications.email",
            "    concurrency: {min: 1, max: 20}   # follows the backlog",
            "    timeout: 60s",
            "    retry:",
            "      attempts: 5",
            "      backoff: 10s",
            "    rate: 30/m",
        ]
        schedules.append(
            f'  every-{number}: {{queue: queue-{number}, cron: "17 {number % 24} * * *", payload: {{n: {number}}}}}'
        )
        number += 1
    return "\n".join([*head, *queues, *schedules]) + "\n"


def install_ajv() -> Path | None:
    """ajv-cli in `benchmarks/.peers`; None where there is no node or it cannot be installed."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None
    program = PEERS / "node_modules" / ".bin" / "ajv"
    if not program.exists():
        PEERS.mkdir(parents=True, exist_ok=True)
        install = [
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--silent",
            "--prefix",
            str(PEERS),
            "ajv-cli@5",
        ]
        if subprocess.run(install, check=False).returncode:
            return None
    return program


def contenders() -> dict[str, Callable[[Path], list[str]]]:
    """The commands that are compared, by name."""
    found: dict[str, Callable[[Path], list[str]]] = {
        "runtime validate": lambda spec: [sys.executable, "-m", "runtime", "validate", str(spec)],
        "check-jsonschema": lambda spec: [
            sys.executable, "-m", "check_jsonschema", "--schemafile", str(SCHEMA), str(spec),
        ],
    }  # fmt: skip
    ajv = install_ajv()
    if ajv is not None:
        options = ["--spec=draft2020", "--strict=false", "-s", str(SCHEMA)]
        found["ajv validate"] = lambda spec: [str(ajv), "validate", *options, "-d", str(spec)]
    found["python -c pass"] = lambda _: [sys.executable, "-c", "pass"]
    return found


def timed(command: list[str]) -> float:
    """Milliseconds of one whole process.

    Raises:
        RuntimeError: it says that the spec is wrong, so that it did not do the work.
    """
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=ENVIRONMENT)
    taken = (time.perf_counter() - start) * 1000
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    programs = contenders()
    times: dict[int, dict[str, list[float]]] = {size: {name: [] for name in programs} for size in SIZES}
    with tempfile.TemporaryDirectory() as folder:
        specs = {size: Path(folder, f"spec-{size}.yaml") for size in SIZES}
        for size, spec in specs.items():
            spec.write_text(write_spec(size))
        for round_number in range(arguments.rounds + 1):
            for size, spec in specs.items():
                for name, command in programs.items():
                    taken = timed(command(spec))
                    if round_number:  # the first warms caches
                        times[size][name].append(taken)
    results = [
        {
            "lines": size,
            "program": name,
            "median_ms": round(statistics.median(taken), 1),
            "least_ms": round(min(taken), 1),
            "most_ms": round(max(taken), 1),
        }
        for size, programs_of_size in times.items()
        for name, taken in programs_of_size.items()
    ]
    print(f"{'lines':>6}  {'program':<18}  {'median':>9}  {'least':>9}  {'most':>9}")
    for row in results:
        figures = "  ".join(f"{row[key]:>6} ms" for key in ("median_ms", "least_ms", "most_ms"))
        print(f"{row['lines']:>6}  {row['program']:<18}  {figures}")
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        machine = {"python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count()}
        text = json.dumps({"machine": machine, "rounds": arguments.rounds, "results": results}, indent=2)
        arguments.output.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
