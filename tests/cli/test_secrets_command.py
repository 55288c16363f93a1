"""`runtime secrets` and `runtime keys`: what an operator sees of them; never a value."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from runtime.cli.main import main
from runtime.testing import running

if TYPE_CHECKING:
    from pathlib import Path

SPEC = """
version: 1
name: shop
api: {port: "${PORT:-8080}", host: "${HOST}"}
storage: {database: "${file:database}"}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC)
    return "spec.yaml"


def test_check_tells_the_source_of_each_reference(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "database").write_text("sqlite:///hidden-name.db")
    monkeypatch.setenv("HOST", "127.0.0.1")
    assert main(["secrets", "check", spec]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["spec.yaml:4:14", "${PORT:-***}", "default", "-"],
        ["spec.yaml:4:37", "${HOST}", "environment", "HOST"],
        ["spec.yaml:5:22", "${file:database}", f"{tmp_path}/database", "-"],
    ]
    assert "hidden-name" not in "".join(lines)


def test_check_tells_all_that_is_wrong(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["secrets", "check", spec]) == 1
    told = capsys.readouterr()
    assert "spec.yaml:4:37: api.host: HOST is not set" in told.err
    assert "spec.yaml:5:22: storage.database: cannot read database: no such file" in told.err
    assert main(["secrets", "check", spec, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [error["path"] for error in found["errors"]] == ["api.host", "storage.database"]
    assert [use["problem"] is None for use in found["references"]] == [True, False, False]


def test_the_command_line_comes_first(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "database").write_text("sqlite")
    monkeypatch.setenv("HOST", "127.0.0.1")
    assert main(["secrets", "check", spec, "--set", "HOST=10.0.0.1"]) == 0
    assert "command line HOST" in capsys.readouterr().out
    assert main(["secrets", "check", spec, "--set", "HOST"]) == 2
    assert "--set wants NAME=VALUE" in capsys.readouterr().err


def test_a_new_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create"]) == 0
    assert len(base64.b64decode(capsys.readouterr().out)) == 32
    file = tmp_path / "key"
    assert main(["keys", "create", "--file", str(file)]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() not in capsys.readouterr().out
    assert main(["keys", "create", "--file", str(file)]) == 1
    assert "a key must never be overwritten" in capsys.readouterr().err


def test_a_key_is_replaced_and_retired(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serving(tmp_path, state, active="k1") as environment:
        stored = environment.request("PUT", "/v1/provider-keys/echo", {"key": "a-key-of-a-user"})
        assert stored.status == 200
        assert "a-key-of-a-user" not in json.dumps(stored.body)
        assert ran(environment, "retire", "k1") == (1, 'error: "k1" is the active key')
    with serving(tmp_path, state, active="k2") as environment:
        assert ran(environment, "rotate", "--wait") == (0, 'all is under "k2"')
        code, said = ran(environment, "retire", "k1")
        assert (code, said.startswith('nothing is under "k1" any more')) == (0, True)
        assert ran(environment, "retire", "k9")[0] == 1
        assert environment.get("/v1/provider-keys/echo").body["encrypted_with"] == "k2"
        assert environment.request("DELETE", "/v1/provider-keys/echo").status == 204
        assert environment.get("/v1/provider-keys/echo").status == 404


def test_an_environment_without_encryption_keeps_no_keys(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("version: 1\nname: shop\n")
    with running(tmp_path / "spec.yaml") as environment:
        answer = environment.request("PUT", "/v1/provider-keys/echo", {"key": "a-key-of-a-user"})
        assert (answer.status, answer.body["remedy"]) == (404, "Declare secrets.encryption in its spec.")


def serving(folder: Path, state: Path, *, active: str) -> Any:
    spec = folder / "spec.yaml"
    keys = {"k1": "1a" * 32, "k2": "2b" * 32}
    sections: dict[str, Any] = {"ai": {"providers": {"echo": {"kind": "echo"}}}}
    sections["secrets"] = {"encryption": {"keys": keys, "active": active}}
    spec.write_text(json.dumps({"version": 1, "name": "shop", **sections}))
    return running(spec, state=state)


def ran(environment: Any, *arguments: str) -> tuple[int, str]:
    """What `runtime keys` says; the last line of an error is its remedy."""
    spec = environment.process.args[-1]
    action, *rest = arguments
    done = subprocess.run(
        [sys.executable, "-m", "runtime", "keys", action, spec, *rest], capture_output=True, text=True
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()[0]
