"""`runtime status`: what runs, component by component, as the running environment itself says."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import Fault, NotRunning, Unreachable
from runtime.kernel.lock import Holder, running

if TYPE_CHECKING:
    import argparse

    from runtime.state import StateFolder

EXAMPLE = "runtime status specs/development.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the spec that was applied")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--quiet", action="store_true", help="only the exit code: 0 it runs, 3 it does not")


def run(args: argparse.Namespace) -> int:
    from runtime.cli.states import state_of

    state = state_of(args.spec)
    holder = running(state.path)
    if holder is None:
        raise NotRunning(f"{args.spec} is not running", remedy=f"Start it: runtime apply {args.spec}")
    if not holder.address:
        raise NotRunning(f"{args.spec} is still starting (process {holder.pid})", remedy="Try again in a moment.")
    view = ask(holder, state, "/v1/runtime")
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


def ask(holder: Holder, state: StateFolder, path: str) -> Any:
    """Asks the running environment, with its operator's key.

    Raises:
        Unreachable: it does not answer.
        Fault: it refuses, or the key cannot be read.
    """
    try:
        key = state.operator_key.read_text().strip()
    except OSError as error:
        raise Fault(
            f"cannot read {state.operator_key}: {error.strerror}", remedy="Run this as the user who applied the spec."
        ) from error
    request = urllib.request.Request(holder.address + path, headers={"Authorization": f"Bearer {key}"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own loopback address
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise Fault(f"{holder.address}{path} answered {error.code} {error.reason}") from error
    except (OSError, ValueError) as error:
        raise Unreachable(str(state.path), holder.address, str(error)) from error
