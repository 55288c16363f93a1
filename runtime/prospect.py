"""A spec that could run in the place of the one that does: read, checked, planned; nothing is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from runtime.errors import Conflict, Fault
from runtime.fixed import require_changeable, require_kept, require_same_vault

if TYPE_CHECKING:
    from runtime.assembly import Assembly
    from runtime.kernel.component import Component
    from runtime.kernel.plan import Plan
    from runtime.present import Present
    from runtime.spec.load import Loaded

STDIN: Final = "<stdin>"


@dataclass(frozen=True, slots=True)
class Prospect:
    """A spec that could run, and what that would take.

    Args:
        loaded: the spec.
        assembly: makes its components.
        components: the whole set.
        plan: from what runs to these.
        warnings: what a person should know of it.
    """

    loaded: Loaded
    assembly: Assembly
    components: list[Component]
    plan: Plan
    warnings: tuple[str, ...]


async def prospect_of(present: Present, text: str | None = None) -> Prospect:
    """Reads the file of what runs again, and plans what it says.

    Args:
        text: what counts as the file's content, in place of what stands there.

    Raises:
        SpecFault: it is wrong, or something in it cannot change while the environment runs.
        Conflict: it cannot be read again.
    """
    old = present.loaded
    if old.file.name == STDIN and text is None:
        raise Conflict("the spec came over standard input and cannot be read again", remedy="Apply it from a file.")

    def read() -> Loaded:
        return old.anew(text, prepare=lambda declared: require_same_vault(old, declared))

    new = await anyio.to_thread.run_sync(read)
    present.learn(new)
    require_changeable(old, new)
    assembly, components = await present.made(new)
    steps = present.kernel.plan(components)
    require_kept(steps, new)
    spec = [str(warning) for warning in new.warnings] if text is None else []
    warnings = (*spec, *_of_code(present, assembly), *await _of_queues(present, steps))
    return Prospect(new, assembly, components, steps, warnings)


def _of_code(present: Present, assembly: Assembly) -> list[str]:
    """What of the plugins' code does not run."""
    found = []
    if changed := present.changed_code:
        files = ", ".join(changed)
        found.append(f"{files}: changed since it was imported, and code is not loaded again; restart to run it")
    for id_ in sorted(assembly.missing.keys() - present.assembly.missing.keys()):
        what = assembly.missing[id_]
        found.append(f"{id_}: {what} is not in the code that runs; it is declared, and nothing runs it")
    return found


async def _of_queues(present: Present, steps: Plan) -> list[str]:
    """Which jobs nobody runs any more."""
    found = []
    for id_ in steps.ids("remove"):
        section, _, name = id_.partition(".")
        if section == "jobs" and name and (left := await _left_in(present, name)):
            jobs = "1 job waits" if left == 1 else f"{left} jobs wait"
            found.append(f"queues.{name}: {jobs} there until the queue is declared again")
    return found


async def _left_in(present: Present, queue: str) -> int:
    try:
        view = await present.kernel.service("jobs").queue(queue)
    except Fault:
        return 0  # who cannot be asked says so elsewhere
    return int(view.waiting + view.scheduled + view.resting + view.blocked)
