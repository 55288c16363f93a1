"""The command line itself: dispatch, wrong usage, faults, and what is never imported."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime import __version__
from runtime.cli import main as command_line
from runtime.cli.main import COMMANDS, main
from runtime.errors import Unreachable

ROOT = Path(__file__).parents[2]
HEAVY = (
    "litestar", "openai", "anthropic", "mistralai", "sqlalchemy", "hvac", "pywebpush", "pydantic",
    "jsonschema", "redis",
    "uvicorn", "anyio", "asyncio", "httpx", "rich", "saq",
)  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ["validate", "specs/production.yaml", "specs/development.yaml"],
        ["validate", "--json", "specs/production.yaml"],
        ["show", "specs/production.yaml", "--origin"],
        ["show", "specs/production.yaml", "--json"],
        ["explain", "queues.email.retry"],
        ["schema"],
        ["graph", "specs/development.yaml"],
        ["plan", "specs/production.yaml", "--json"],
        ["--help"],
        ["vlidate"],
    ],
    ids=" ".join,
)
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys, json\nfrom runtime.cli.main import main\n"
        f"main({arguments!r})\n"
        f"sys.stderr.write(json.dumps(sorted(set(sys.modules) & set({HEAVY!r}))))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stderr.splitlines()[-1]) == []


def test_every_command_has_a_module_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("example:\n  runtime "), name
        assert f"usage: runtime {name}" in shown


def test_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("example:\n  runtime apply ")
    assert all(f"\n  {name} " in shown for name in COMMANDS)
    assert main([]) == 2
    assert main(["help", "show"]) == 0
    assert "runtime show" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"runtime {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["vlidate", "x"], 'there is no command "vlidate", did you mean "validate"?'),
        (["--nonsense"], 'there is no command "--nonsense"'),
        (
            ["validate"],
            "the following arguments are required: SPEC\n  Try: runtime validate specs/production.yaml",
        ),
        (["validate", "x", "--format", "xml"], "argument --format: invalid choice: 'xml'"),
        (["show", "x", "--orgin"], "unrecognized arguments: --orgin"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.out == ""


def running(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """Runs a command that raises."""

    def run(_: Any) -> int:
        raise error

    command = SimpleNamespace(EXAMPLE="runtime show x", __doc__="x: y", arguments=lambda parser: None, run=run)
    monkeypatch.setattr(command_line, "_module", lambda name: command)
    return main(["show"])


def test_a_fault_becomes_words_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = Unreachable("storage.redis", "redis://h:1", "refused", remedy="Start it.")
    assert running(monkeypatch, fault) == 3
    assert capsys.readouterr().err == "error: storage.redis: cannot reach redis://h:1: refused\n  Start it.\n"


def test_an_interruption_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert running(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == ""


def test_a_bug_is_one_line_without_the_message_that_may_hold_a_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RUNTIME_DEBUG", raising=False)
    assert running(monkeypatch, ValueError("sk-secret")) == 1
    shown = capsys.readouterr().err
    assert "sk-secret" not in shown
    assert "Traceback" not in shown
    assert shown.startswith("error: this is a bug in the runtime: ValueError at test_commands.py:")
    monkeypatch.setenv("RUNTIME_DEBUG", "1")
    assert running(monkeypatch, ValueError("sk-secret")) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_dependency_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'anyio'", name="anyio")

    monkeypatch.setattr(command_line, "import_module", absent)
    assert main(["apply", "x"]) == 1
    assert "`runtime apply` needs the module anyio, which is not installed" in capsys.readouterr().err


def test_a_reader_who_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "runtime", "schema"],
            cwd=ROOT,
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 0
    assert done.stderr == b""


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    assert main(["schema"]) == 1
    assert "No space left on device" in capsys.readouterr().err
