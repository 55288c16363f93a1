"""`runtime status`: what runs, component by component, as the running environment itself says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

EXAMPLE = "runtime status specs/development.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the spec that was applied")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--quiet", action="store_true", help="only the exit code: 0 it runs, 3 it does not")


def run(args: argparse.Namespace) -> int:
    from runtime.cli.calls import Caller

    caller = Caller.of(args.spec)
    holder, view = caller.holder, caller.get("/v1/runtime")
    if args.quiet:
        return 0
    if args.json:
        print(json.dumps(view, indent=2))
        return 0
    revision = f"revision {view['revision']}, since {holder.started}"
    print(f"{view['name']} at {holder.address}, process {holder.pid}, {revision}\n")
    width = max(len(component["id"]) for component in view["components"])
    for component in view["components"]:
        health = component["health"]
        note = health["reason"] or component.get("error") or ""
        restarts = f"  restarted {component['restarts']}×" if component["restarts"] else ""
        print(f"  {component['id']:<{width}}  {health['status']:<12}{restarts}  {note}".rstrip())
    return 0
