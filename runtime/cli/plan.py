"""`runtime plan`: what an apply of a spec would do, without doing it.

Where the spec runs, the running environment plans itself: it reads its file again and compares. Where it does not,
everything is created. Nothing is touched.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from runtime.spec.declare import Declared

EXAMPLE = "runtime plan specs/development.yaml"
CHANGES = 4


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the spec")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--exit-code", action="store_true", help="end with 4 where an apply would change something")


def run(args: argparse.Namespace) -> int:
    from runtime.cli.plans import summed, write_plan
    from runtime.spec.declare import declare

    declared = declare(args.spec)
    declared.checked()
    plan = planned(declared, str(args.spec))
    if args.json:
        sys.stdout.write(json.dumps(plan, indent=2, ensure_ascii=False) + "\n")
    else:
        runs = f"revision {plan['revision']} runs" if plan["running"] else "does not run yet"
        sys.stdout.write(f"{args.spec}: {runs}\n\n")
        write_plan(plan)
        sys.stdout.write(("\n" if plan["steps"] else "") + f"{summed(plan['steps'])}.\n")
    return CHANGES if args.exit_code and plan["steps"] else 0


def planned(declared: Declared, spec: str) -> Mapping[str, Any]:
    """The plan of a spec without errors.

    Raises:
        Fault: the environment that runs refuses it, or does not answer.
    """
    from runtime.cli.calls import Caller
    from runtime.kernel.lock import running
    from runtime.running import declared_state, find_on

    state = declared_state(declared)
    if running(state.path) is None:
        return {"running": False, "file": declared.composition.source.file, "revision": 0, **_from_nothing(declared)}
    caller = Caller(find_on(state, spec))
    plan = caller.post("/v1/runtime/plan")
    require_same_file(plan, declared, caller.holder.pid)
    return {"running": True, **plan}


def require_same_file(plan: Mapping[str, Any], declared: Declared, pid: int) -> None:
    """Refuses to speak of one file with an environment that runs another on the same state folder.

    Raises:
        Fault: the files differ.
    """
    from runtime.errors import Fault

    file = declared.composition.source.file
    if not _same(plan["file"], file):
        raise Fault(
            f"another spec runs on this state folder: {plan['file']} (process {pid})",
            remedy="Give that file, or another storage.path in this one; `runtime down` stops what runs.",
        )


def _same(one: str, other: str) -> bool:
    return Path(one) == Path(other) or Path(one).resolve() == Path(other).resolve()


def _from_nothing(declared: Declared) -> dict[str, Any]:
    from runtime.outline import absent, outline

    data = declared.checked()
    lacking = absent(data)
    steps: list[dict[str, Any]] = [
        {
            "action": "create",
            "id": node.id,
            "title": lacking.get(node.id, node.id),
            "reason": "not built in this version" if node.id in lacking else "it does not run yet",
            "effect": "none: nothing uses it yet",
            "fields": [],
        }
        for node in outline(data)
    ]
    return {"changed": True, "steps": steps, "warnings": []}
