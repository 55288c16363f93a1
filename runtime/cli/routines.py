"""`runtime routines`: the routines of the running environment: list them, run one and watch its steps."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from runtime.cli.calls import Caller
from runtime.errors import Fault, UsageFault

if TYPE_CHECKING:
    import argparse

EXAMPLE = 'runtime routines run examples/routines/spec.yaml brief --input \'{"text": "the quick brown fox"}\''

_ENDED: Final = ("completed", "failed", "cancelled")
_LOOK: Final = 0.1
"""Seconds between two looks at a run."""


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="every routine with its input and its steps")
    run = actions.add_parser("run", help="run one, and wait; exit code 1 when it does not complete")
    for action in (listed, run):
        action.add_argument("spec", type=Path, metavar="SPEC", help="the spec that was applied")
        action.add_argument("--json", action="store_true", help="one JSON object")
    run.add_argument("routine", metavar="ROUTINE")
    run.add_argument("--input", default="{}", metavar="JSON|@FILE", help="what it is started with; {} by default")


def run(args: argparse.Namespace) -> int:
    given = _input(args.input) if args.action == "run" else None
    caller = Caller.of(args.spec)
    if args.action == "list":
        found = caller.get("/v1/routines")
        _print(found if args.json else "\n".join(map(_line, found["items"])))
        return 0
    started = caller.post(f"/v1/routines/{quote(args.routine, safe='')}/runs", {"input": given})
    job = _ended(caller, f"/v1/jobs/{quote(started['id'], safe='')}", quiet=args.json)
    if args.json:
        _print(job)
    elif job["status"] == "completed":
        _print(job["result"]["output"])
    else:
        raise Fault(f"{job['id']} {job['status']}" + (f": {job['error']}" if job["error"] else ""))
    return 0 if job["status"] == "completed" else 1


def _input(text: str) -> Any:
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Fault(f"cannot read the input {text[1:]}: {error}") from error
    try:
        given = json.loads(text)
    except ValueError as error:
        raise UsageFault(f"the input is no JSON: {error}", remedy=f"Try: {EXAMPLE}") from error
    if not isinstance(given, dict):
        raise UsageFault("the input is no JSON object", remedy=f"Try: {EXAMPLE}")
    return given


def _ended(caller: Caller, path: str, *, quiet: bool) -> dict[str, Any]:
    """Waits until a run has ended; says on standard error which step it is in."""
    said = None
    while True:
        job: dict[str, Any] = caller.get(path)
        if not quiet and job["message"] not in (None, said):
            said = job["message"]
            sys.stderr.write(f"{job['progress']:4.0%}  {said}\n")
        if job["status"] in _ENDED:
            return job
        time.sleep(_LOOK)


def _line(routine: dict[str, Any]) -> str:
    wanted = routine["input"]["required"]
    inputs = [name if name in wanted else f"[{name}]" for name in routine["input"]["properties"]]
    steps = " → ".join(step["name"] for step in routine["steps"])
    about = f"  # {routine['description']}" if routine["description"] else ""
    return f"{' '.join([routine['name'], *inputs])}: {steps}{about}"


def _print(data: Any) -> None:
    from runtime.spec.diagnostics import printable

    shown = data if isinstance(data, str) else json.dumps(data, indent=2, ensure_ascii=False)
    print("\n".join(printable(line, 100_000) for line in shown.splitlines()))
