"""`runtime validate` through the real command: every mistake of a spec, literally, in every form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BASE = """\
version: 1
name: Core Services
api:
  max_bodi: 1MB
queues:
  email:
    concurrency: 5
    timeout: 60
events:
  streams:
    billing: {events: {credits.used: {}}}
"""

PRODUCTION = """\
# what runs for our customers
extends: base.yaml
environment: production
queues:
  images: {handler: images.resize, concurency: 4}
  email:
    retry: {attempts: 0}
    retry: {attempts: 3}
schedules:
  nightly: {queue: exprt, cron: "17 3 * * *", timezone: Europe/Viena}
events:
  subscriptions:
    audit: {stream: billing, handler: audit.record, types: [credit.used]}
observability:
  errors: {dsn: "https://${SENTRY_KEY@sentry.example.com/1"}
  audit: no
"""

MISTAKES = [
    (
        "production.yaml", 5, 21, "queues.images.handler",
        'no @task("images.resize") in the plugins, and none of that name is built in; name the module '
        'that has it under '
        '"plugins"',
        None,
    ),
    ("production.yaml", 5, 36, "queues.images.concurency", 'unknown key, did you mean "concurrency"?',
    "concurrency"),
    ("production.yaml", 7, 23, "queues.email.retry.attempts", "must be at least 1, found 0", "1"),
    (
        "production.yaml", 8, 5, "queues.email.retry",
        'duplicate key "retry", first written at line 7, column 5', None,
    ),
    (
        "production.yaml", 10, 20, "schedules.nightly.queue",
        'no queue "exprt" is declared under queues, did you mean "export"?', "export",
    ),
    (
        "production.yaml", 10, 57, "schedules.nightly.timezone",
        'there is no time zone "Europe/Viena", did you mean "Europe/Vienna"?', "Europe/Vienna",
    ),
    (
        "production.yaml", 13, 61, "events.subscriptions.audit.types[0]",
        'the stream "billing" has no event "credit.used", did you mean "credits.used"?', "credits.used",
    ),
    (
        "production.yaml", 15, 26, "observability.errors.dsn",
        "this reference is never closed; write ${NAME}, or $$ for a dollar sign", None,
    ),
    (
        "production.yaml", 16, 10, "observability.audit",
        'expected true or false or a mapping, found the text "no"; write false', "false",
    ),
    (
        "base.yaml", 2, 7, "name",
        'expected lower-case letters, digits, `-` and `_`, beginning with a letter, such as '
        '"core-services", found '
        '"Core Services"',
        None,
    ),
    ("base.yaml", 4, 3, "api.max_bodi", 'unknown key, did you mean "max_body"?', "max_body"),
    ("base.yaml", 8, 14, "queues.email.timeout", 'a duration needs its unit; write "60s"', "60s"),
]  # fmt: skip


def runtime(*arguments: str, cwd: Path, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runtime", *arguments],
        cwd=cwd, input=stdin, capture_output=True, text=True, check=False, env={**os.environ, **environ},
    )  # fmt: skip


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "production.yaml").write_text(PRODUCTION)
    (tmp_path / "good.yaml").write_text("version: 1\nname: good\n")
    return tmp_path


def test_every_mistake_is_told_at_once_with_file_line_and_column(specs: Path) -> None:
    done = runtime("validate", "production.yaml", cwd=specs)
    assert done.returncode == 1
    assert done.stdout == ""
    told = [line for line in done.stderr.splitlines() if line.startswith(("production.yaml:", "base.yaml:"))]
    assert told == [f"{file}:{line}:{column}: {path}: {message}" for file, line, column, path, message, _ in MISTAKES]
    assert done.stderr.splitlines()[-1] == f"{len(MISTAKES)} errors"


def test_the_same_as_json(specs: Path) -> None:
    done = runtime("validate", "--json", "production.yaml", cwd=specs)
    assert done.returncode == 1
    assert done.stderr == ""
    keys = ("file", "line", "column", "path", "message", "suggestion")
    assert json.loads(done.stdout) == {
        "errors": [dict(zip(keys, mistake, strict=True)) for mistake in MISTAKES],
        "warnings": [],
    }


def test_the_same_for_github(specs: Path) -> None:
    done = runtime("validate", "production.yaml", "--format", "github", cwd=specs)
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert len(lines) == len(MISTAKES)
    assert lines[1] == (
        "::error file=production.yaml,line=5,col=36,endColumn=46,title=runtime validate::"
        'queues.images.concurency: unknown key, did you mean "concurrency"?'
    )


def test_each_line_is_shown_with_a_caret(specs: Path) -> None:
    lines = runtime("validate", "production.yaml", cwd=specs).stderr.splitlines()
    at = next(index for index, line in enumerate(lines) if "concurency: unknown key" in line)
    assert lines[at + 1 : at + 3] == [
        "    5 |   images: {handler: images.resize, concurency: 4}",
        "      |                                    ^^^^^^^^^^",
    ]


def test_valid_files_get_a_line_each(specs: Path) -> None:
    done = runtime("validate", "good.yaml", "production.yaml", "good.yaml", "./base.yaml", cwd=specs)
    assert done.returncode == 1
    assert done.stdout == "good.yaml: valid\n"
    assert done.stderr.splitlines()[-1] == "12 errors in 2 specs"
    done = runtime("validate", *(str(path) for path in sorted(ROOT.glob("specs/*.yaml"))), cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.endswith(": valid") for line in done.stdout.splitlines())


def test_standard_input(specs: Path) -> None:
    done = runtime("validate", "-", cwd=specs, stdin="extends: good.yaml\nnane: x\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("<stdin>:2:1: nane: unknown key")
    assert "2 | nane: x" in done.stderr
    assert runtime("validate", "-", cwd=specs, stdin="extends: good.yaml\n").returncode == 0


def test_colour_is_for_terminals_alone(specs: Path) -> None:
    assert "\033" not in runtime("validate", "production.yaml", cwd=specs).stderr
    script = (
        "import pty, sys, os\n"
        "code = pty.spawn([sys.executable, '-m', 'runtime', 'validate', 'production.yaml'])\n"
        "sys.exit(os.waitstatus_to_exitcode(code))\n"
    )
    for environ, coloured in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)):
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=specs, capture_output=True, text=True, check=False,
            env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, **environ},
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert ("\033[" in done.stdout) is coloured, done.stdout
        assert done.returncode == 1


BOMB = b"a0: &a0 [x, x]\n" + b"".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n".encode() for n in range(1, 20)
)
BAD_QUEUES = b"".join(
    f"  q{n}: {{handler: h{n}, tmeout: 5, concurrency: {{min: 9, max: ${{}}}}}}\n".encode() for n in range(7_000)
)
HOSTILE = {
    "missing": None,
    "empty": b"",
    "binary": bytes(range(256)) * 50,
    "ten megabytes": b"a: b\n" * 2_000_000,
    "deep": b"[" * 100_000,
    "deep keys": b"{a: " * 100_000,
    "aliases": BOMB,
    "unknown keys": b"".join(f"k{n}: {{timeot: 30}}\n".encode() for n in range(30_000)),
    "bad queues": b"version: 1\nname: x\nqueues:\n" + BAD_QUEUES,
    "references": b"x: " + b"${A:-" * 100_000 + b"\nversion: 1\nname: '" + b"${" * 200_000 + b"'\n",
    "escapes": b'name: "\\e[2J\\u202e"\nversion: "\\x1b]0;x\\x07"\n',
}  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_end_in_words(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "spec.yaml").write_bytes(content)
    done = runtime("validate", "spec.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("spec.yaml")
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    assert "\033" not in done.stderr
    assert len(done.stderr) < 1_500_000
