"""Hands a running environment its changed spec, shows what happens, and waits until it holds."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from runtime.cli.calls import Caller
from runtime.cli.plan import require_same_file
from runtime.cli.plans import held, summed, write_plan
from runtime.errors import Fault, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.running import Running
    from runtime.spec.declare import Declared

LOOK: Final = 0.25
"""Seconds between two looks at how far it has come."""
PATIENCE: Final = 600.0
"""Seconds that an apply may take until it holds: each component has a minute to start."""


def hand_over(environment: Running, declared: Declared, *, quiet: bool = False) -> None:
    """Makes a running environment apply its file again.

    Raises:
        Fault: it refuses, or the apply was undone; in its own words.
    """
    caller = Caller(environment)
    plan = caller.post("/v1/runtime/plan")
    require_same_file(plan, declared, environment.holder.pid)
    if not quiet:
        sys.stdout.write(f"Revision {plan['revision']} runs in process {environment.holder.pid}.\n")
        write_plan(plan)
        if plan["steps"]:
            sys.stdout.write(f"{summed(plan['steps'])}.\n")
        sys.stdout.flush()
    headers = {"If-Match": str(plan["revision"])}
    applied = followed(caller, lambda: _posted(caller, "/v1/runtime/apply", None, headers), plan, quiet=quiet)
    if not quiet:
        sys.stdout.write(f"{held(applied)}\n")


def roll_back(environment: Running, number: int | None) -> Mapping[str, Any]:
    """Makes an earlier revision hold; raises as `hand_over`."""
    caller = Caller(environment)
    now = caller.get("/v1/runtime")
    body = {"revision": number} if number is not None else {}
    headers = {"If-Match": str(now["revision"])}
    return followed(caller, lambda: _posted(caller, "/v1/runtime/rollback", body, headers), {"steps": []}, quiet=True)


def _posted(caller: Caller, path: str, body: Any, headers: Mapping[str, str]) -> Any:
    with caller.opened("POST", path, body, headers=headers, patience=PATIENCE) as answer:
        return caller.parsed(answer)


def followed(caller: Caller, call: Callable[[], Any], plan: Mapping[str, Any], *, quiet: bool) -> Mapping[str, Any]:
    """What a long call answers; meanwhile each component that takes its time is named.

    Raises:
        Fault: as the call.
    """
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["answer"] = call()
        except Fault as fault:
            outcome["fault"] = fault

    calling = threading.Thread(target=run, daemon=True)
    calling.start()
    begun = {step["id"] for step in plan["steps"] if step["action"] in ("create", "replace")}
    while calling.is_alive():
        calling.join(LOOK)
        if calling.is_alive() and not quiet:
            for id_ in sorted(_starting(caller) & begun):
                sys.stdout.write(f"  … {id_} starts\n")
                sys.stdout.flush()
                begun.discard(id_)
    if "answer" not in outcome:
        raise outcome.get("fault") or Unreachable("http", caller.holder.address, "it broke off")
    answer: Mapping[str, Any] = outcome["answer"]
    return answer


def _starting(caller: Caller) -> set[str]:
    try:
        view = caller.get("/v1/runtime")
    except Fault:
        return set()  # the call itself will say so
    return {component["id"] for component in view["components"] if component["state"] == "starting"}
