"""`runtime sandbox`: runs a file in a sandbox of its own, or prepares the sandbox's Python.

No environment needs to run: `run` starts a confined worker, gives it the file and ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault, UsageFault

if TYPE_CHECKING:
    import argparse

    from runtime.services.sandbox.ports import Execution, Language
    from runtime.services.sandbox.spec import SandboxSpec

EXAMPLE = "runtime sandbox run sum.py --input '[1, 2, 3]'"

LANGUAGES: Final[dict[str, Language]] = {
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".py": "python",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    run = actions.add_parser("run", help="run a file; exit code 1 when it fails")
    run.add_argument("file", metavar="FILE", help="the source; - for standard input")
    run.add_argument("--input", default="null", metavar="JSON|@FILE", help="what the code sees as `input`")
    run.add_argument("--language", choices=sorted(set(LANGUAGES.values())), help="by default the file's ending tells")
    run.add_argument("--memory", metavar="16MB", help="may be lower than the spec's")
    run.add_argument("--timeout", metavar="500ms", help="may be lower than the spec's")
    run.add_argument("--spec", type=Path, metavar="SPEC", help="take the limits of its `sandbox` section")
    run.add_argument("--json", action="store_true", help="the whole answer as one JSON object")
    build = actions.add_parser("build", help="fetch and prepare Python for the sandbox, once for this user or image")
    build.add_argument("--cache", type=Path, metavar="FOLDER", help="where to keep it; see sandbox.cache in the spec")


def run(args: argparse.Namespace) -> int:
    return _build(args.cache) if args.action == "build" else _run(args)


def _run(args: argparse.Namespace) -> int:
    spec = _section(args.spec)
    language = args.language or LANGUAGES.get(Path(args.file).suffix)
    if language is None:
        raise UsageFault(f"the ending of {args.file} names no language", remedy="Say --language javascript or python.")
    given = _input(args.input)
    code = sys.stdin.read() if args.file == "-" else _read(Path(args.file))
    if language == "python":
        _prepare(spec.cache)
    done = asyncio.run(_executed(spec, language, code, given, args))
    _show(done, as_json=args.json)
    return 0 if done.status == "ok" else 1


async def _executed(
    spec: SandboxSpec, language: Language, code: str, given: Any, args: argparse.Namespace
) -> Execution:
    from runtime.services.sandbox.limits import duration, size
    from runtime.services.sandbox.service import SandboxService

    memory, timeout = size(args.memory), duration(args.timeout)
    sandbox = SandboxService(spec.model_copy(update={"languages": [language], "spares": 0}))
    await sandbox.start()
    try:
        return await sandbox.execute(language, code, given, memory=memory, timeout=timeout, caller="command")
    finally:
        await sandbox.stop()


def _section(path: Path | None) -> SandboxSpec:
    from runtime.services.sandbox.spec import SandboxSpec

    if path is None:
        return SandboxSpec()
    from runtime.spec.load import load

    section = load(path).spec.sandbox
    if section is None:
        raise Fault(f"{path} has no section `sandbox`", remedy="Leave --spec out, or declare `sandbox: {}` there.")
    return section


def _input(text: str) -> Any:
    if text.startswith("@"):
        text = _read(Path(text[1:]))
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageFault(f"the input is no JSON: {error}", remedy=f"Try: {EXAMPLE}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"cannot read {path}: {error}") from error


def _show(done: Execution, *, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print(json.dumps(asdict(done), indent=2))
        return
    for line in done.logs:
        print(line.text, file=sys.stderr)
    if done.error is None:
        print(json.dumps(done.output, indent=2, ensure_ascii=False))
        return
    place = f" (line {done.error.line})" if done.error.line else ""
    print(f"{done.status}: {done.error.type}: {done.error.message}{place}", file=sys.stderr)


def _build(folder: Path | None) -> int:
    print(f"Python for the sandbox is ready in {_prepare(folder)}")
    return 0


def _prepare(folder: Path | None) -> Path:
    from runtime.cli.progress import Progress
    from runtime.services.sandbox.bundle import cache
    from runtime.services.sandbox.launch import Engine

    with Progress() as progress:
        return cache.prepared(folder, Engine.found(), progress.show)
