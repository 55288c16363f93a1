"""What `runtime apply` refuses, with which exit code and which words; never with a traceback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from runtime.testing import running

if TYPE_CHECKING:
    from pathlib import Path

MINIMAL: dict[str, Any] = {"version": 1, "name": "refusals", "api": {"port": 0}, "storage": {"redis": "embedded"}}


def apply(folder: Path, spec: object, **environ: str) -> subprocess.CompletedProcess[str]:
    path = folder / "spec.yaml"
    path.write_text(spec if isinstance(spec, str) else json.dumps(spec))
    answer = subprocess.run(
        [sys.executable, "-m", "runtime", "apply", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environ},
    )
    assert "Traceback" not in answer.stdout + answer.stderr
    return answer


def test_a_wrong_spec(tmp_path: Path) -> None:
    answer = apply(tmp_path, "version: 1\nname: shop\nqueus: {}\napi: {port: high}\n")
    assert answer.returncode == 1
    assert "spec.yaml:3:1: queus" in answer.stderr
    assert "spec.yaml:4:13: api.port" in answer.stderr


def test_a_reference_that_nothing_resolves(tmp_path: Path) -> None:
    answer = apply(tmp_path, {**MINIMAL, "environment": "${NO_SUCH_NAME}", "api": {"port": "${NO_SUCH_PORT}"}})
    assert answer.returncode == 1
    assert "NO_SUCH_NAME" in answer.stderr
    assert "NO_SUCH_PORT" in answer.stderr


def test_redis_out_of_reach(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spec = {**MINIMAL, "storage": {"redis": f"redis://user:hunter2secret@127.0.0.1:{port}/0"}}
    answer = apply(tmp_path, spec)
    assert answer.returncode == 3
    assert "storage.redis" in answer.stderr
    assert f"127.0.0.1:{port}" in answer.stderr
    assert "hunter2secret" not in answer.stdout + answer.stderr


def test_postgresql_out_of_reach(tmp_path: Path) -> None:
    spec = {**MINIMAL, "storage": {"database": "postgresql://core:hunter2secret@127.0.0.1:1/core"}}
    answer = apply(tmp_path, spec)
    assert answer.returncode == 3
    assert "storage.database" in answer.stderr
    assert "127.0.0.1:1" in answer.stderr
    assert "hunter2secret" not in answer.stdout + answer.stderr


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = apply(tmp_path, {**MINIMAL, "api": {"port": port}})
    assert answer.returncode == 1
    assert str(port) in answer.stderr
    assert str(os.getpid()) in answer.stderr  # which process to look for


def test_a_plugin_that_fails_to_import(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("x = 1\nraise ValueError('no luck')\n")
    answer = apply(tmp_path, {**MINIMAL, "plugins": ["broken"]})
    assert answer.returncode == 1
    assert "broken.py:2" in answer.stderr
    assert "no luck" in answer.stderr


def test_a_second_apply_on_the_same_state_folder(tmp_path: Path) -> None:
    path = tmp_path / "first.yaml"
    path.write_text(json.dumps(MINIMAL))
    with running(path, state=tmp_path / ".runtime") as first:
        answer = apply(tmp_path, MINIMAL)
        assert answer.returncode == 1
        assert str(first.process.pid) in answer.stderr
        assert "runtime down" in answer.stderr
        assert first.get("/readyz").status == 200


def test_down_without_anything_running(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(MINIMAL))
    answer = subprocess.run(
        [sys.executable, "-m", "runtime", "down", str(path)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0
    assert "not running" in answer.stdout
