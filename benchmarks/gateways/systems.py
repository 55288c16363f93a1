"""The gateways that are measured: how each is installed, started and spoken to."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from runtime.testing import running

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks" / ".peers" / "gateways"
HERE, THERE = {0}, {1}
"""The processor of the gateways; that of the provider and of the load."""
READY = 90.0
MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-sonnet-4-5", "mistral": "mistral-large-latest"}


@dataclass
class Gateway:
    """A gateway that runs.

    Args:
        models: what to ask for, by provider; empty for a provider that it is not measured with.
        prefix: before the path, for options of the provider.
    """

    name: str
    port: int
    process: psutil.Process | None
    models: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict)
    per_provider: dict[str, dict[str, str]] = field(default_factory=dict)
    prefix: str = ""

    def cpu(self) -> float:
        """Seconds of CPU time so far, of all its processes."""
        if self.process is None:
            return 0.0
        times = [one.cpu_times() for one in (self.process, *self.process.children(recursive=True))]
        return sum(one.user + one.system for one in times)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def spawned(command: list[str], processors: set[int], **options: Any) -> Iterator[psutil.Process]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options) as process:
        os.sched_setaffinity(process.pid, processors)
        try:
            yield psutil.Process(process.pid)
        finally:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.terminate()
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def await_answer(url: str, process: psutil.Process) -> None:
    deadline = time.monotonic() + READY
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError as error:
            if getattr(error, "code", 0):
                return
            if time.monotonic() > deadline or not process.is_running():
                raise SystemExit(f"{url} does not answer") from error
            time.sleep(0.1)


@contextmanager
def provider() -> Iterator[int]:
    port = free_port()
    with spawned([sys.executable, str(ROOT / "benchmarks" / "gateways" / "upstream.py"), str(port)], THERE) as process:
        await_answer(f"http://127.0.0.1:{port}/gone", process)
        yield port


@contextmanager
def ours(upstream: str, folder: Path, *, tracing: dict[str, object] | None = None) -> Iterator[Gateway]:
    """As `runtime apply` runs it, with all duties: key, limits, budgets, prices and the ledger."""
    kinds = {
        name: {"kind": name, "api_key": "sk-1", "base_url": f"{upstream}/v1" if name == "openai" else upstream}
        for name in MODELS
    }
    kinds["openai"]["limits"] = {"requests": "100000000/m", "tokens": "900000000/s"}  # type: ignore[assignment]
    spec = {
        "version": 1,
        "name": "bench",
        "api": {"port": 0, "rate_limit": "10000000/s"},
        "ai": {
            "providers": kinds,
            "budgets": {"each": {"per": "30d", "limit": "1000000.00 USD"}},
            "chains": {"default": ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5"]},
        },
        "observability": {"logs": {"level": "warning"}, "tracing": tracing or {}},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec))
    with running(path) as environment:
        process = psutil.Process(environment.process.pid)
        for one in (process, *process.children(recursive=True)):
            for thread in one.threads():
                os.sched_setaffinity(thread.id, HERE)
        models = {name: f"{name}/{model}" for name, model in MODELS.items()}
        port = int(environment.url.rpartition(":")[2])
        yield Gateway("ours", port, process, models, {"Authorization": f"Bearer {environment.key}"})


@contextmanager
def litellm(upstream: str, folder: Path) -> Iterator[Gateway]:
    """One worker, production mode, no database and no logs of requests: what its own advice on speed says."""
    port = free_port()
    bases = {"openai": f"{upstream}/v1", "anthropic": upstream, "mistral": f"{upstream}/v1"}
    models = [
        {
            "model_name": f"{name}-{model}",
            "litellm_params": {"model": f"{name}/{model}", "api_base": bases[name], "api_key": "x"},
        }
        for name, model in MODELS.items()
    ]
    config = {
        "model_list": models,
        "general_settings": {"master_key": "sk-test"},
        "litellm_settings": {"telemetry": False, "set_verbose": False, "num_retries": 0},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "litellm.yaml").write_text(json.dumps(config))
    program = FOLDER / "litellm" / "bin"
    command = [str(program / "litellm"), "--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1"]
    environment = {
        **os.environ,
        "PATH": f"{program}:{os.environ['PATH']}",
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_DOCS": "True",
    }
    with spawned([*command, "--port", str(port), "--num_workers", "1"], HERE, env=environment, cwd=folder) as process:
        await_answer(f"http://127.0.0.1:{port}/health/liveliness", process)
        named = {name: f"{name}-{model}" for name, model in MODELS.items()}
        yield Gateway("LiteLLM", port, process, named, {"Authorization": "Bearer sk-test"})


@contextmanager
def portkey(upstream: str, folder: Path) -> Iterator[Gateway]:
    """The open gateway of the npm package, in production mode; it keeps no books."""
    port = free_port()
    script = FOLDER / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    environment = {
        **os.environ,
        "NODE_ENV": "production",
        "PORT": str(port),
        "TRUSTED_CUSTOM_HOSTS": "localhost,127.0.0.1",
    }
    command = ["node", str(script), f"--port={port}", "--headless"]
    with spawned(command, HERE, env=environment) as process:
        await_answer(f"http://127.0.0.1:{port}/", process)
        about = {
            name: {
                "x-portkey-provider": name if name != "mistral" else "mistral-ai",
                "x-portkey-custom-host": f"{upstream}/v1",
            }
            for name in MODELS
        }
        yield Gateway("Portkey", port, process, dict(MODELS), {"Authorization": "Bearer x"}, about)


@contextmanager
def direct(upstream: str, folder: Path) -> Iterator[Gateway]:
    """No gateway at all: what is subtracted."""
    yield Gateway("direct", int(upstream.split(":")[2].partition("/")[0]), None, dict(MODELS))


@contextmanager
def copy(upstream: str, folder: Path) -> Iterator[Gateway]:
    """A gateway that does nothing but copy bytes: what any must pay."""
    port, (host, _, path) = free_port(), upstream.removeprefix("http://").partition("/")
    command = [sys.executable, str(ROOT / "benchmarks" / "gateways" / "copy.py"), str(port), host.partition(":")[2]]
    with spawned(command, HERE) as process:
        prefix = f"/{path}" if path else ""
        await_answer(f"http://127.0.0.1:{port}/gone", process)
        yield Gateway("copy", port, process, dict(MODELS), prefix=prefix)


SYSTEMS = {"direct": direct, "copy": copy, "ours": ours, "litellm": litellm, "portkey": portkey}


def installed() -> list[str]:
    """Those that can be measured here."""
    there = {"litellm": FOLDER / "litellm" / "bin" / "litellm", "portkey": FOLDER / "portkey" / "node_modules"}
    return [name for name in SYSTEMS if name not in there or there[name].exists()]


def setup() -> None:
    """Installs the peers, each into a folder of its own."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    place = FOLDER / "litellm"
    if not (place / "bin" / "litellm").exists():
        subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", str(place)], check=True)
        python = str(place / "bin" / "python")
        subprocess.run(
            [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, "litellm[proxy]"], check=True
        )
    if not (FOLDER / "portkey" / "node_modules").exists():
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix", str(FOLDER / "portkey")]
        subprocess.run(["npm", "install", *options, "@portkey-ai/gateway"], check=True)


@contextmanager
def started(names: list[str], upstream: str, folder: Path) -> Iterator[list[Gateway]]:
    with ExitStack() as stack:
        yield [stack.enter_context(SYSTEMS[name](upstream, folder / name)) for name in names]
