"""What of a spec cannot change while it runs, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from runtime.errors import SpecFault
from runtime.spec.diagnostics import Diagnostic, dotted
from runtime.spec.places import diagnose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.kernel.plan import Plan
    from runtime.spec.load import Declared, Loaded
    from runtime.spec.places import Path


class _Fixed(NamedTuple):
    path: Path
    why: str


FIXED: Final = (
    _Fixed(("name",), "the keys in Redis begin with it"),
    _Fixed(("plugins",), "code is imported at the start alone"),
    _Fixed(("storage", "path"), "the state lies there"),
    _Fixed(("storage", "redis"), "jobs and events lie there"),
    _Fixed(("storage", "database"), "the tables lie there"),
    _Fixed(("processes",), "processes are started at the start alone"),
    _Fixed(("events", "backend"), "the events lie there"),
    _Fixed(("observability", "logs", "format"), "the output is opened at the start alone"),
)
"""Paths whose values stay as they are, each with the reason."""

VAULT: Final = ("secrets", "vault")
RESTART: Final = "restart the environment to change it (`runtime down`, then `runtime apply`)"


def require_same_vault(old: Loaded, new: Declared) -> None:
    """Refuses another Vault, or another way to sign in, before it is spoken with; further paths are welcome.

    Raises:
        SpecFault: with the place.
    """
    before, after = _vault(old.declared), _vault(new.data or {})
    if before is None and after is None:
        return
    if before is None or after is None:
        raise SpecFault([_refusal(new, VAULT, "what signs in there is made at the start alone")])
    found = [
        _refusal(new, (*VAULT, name), "the session there is in use")
        for name in sorted((before.keys() | after.keys()) - {"paths"})
        if before.get(name) != after.get(name)
    ]
    paths, again = before.get("paths") or {}, after.get("paths") or {}
    found += [
        _refusal(new, (*VAULT, "paths", name), "what was read there is in use")
        for name in sorted(paths.keys() & again.keys())
        if paths[name] != again[name]
    ]
    if found:
        raise SpecFault(found)


def require_changeable(old: Loaded, new: Loaded) -> None:
    """Refuses what cannot change while it runs.

    Raises:
        SpecFault: with every place.
    """
    changed = [fixed for fixed in FIXED if _shown(old.data, fixed.path) != _shown(new.data, fixed.path)]
    if changed and new.sources is not None:
        raise SpecFault([_refusal(new.sources.declared, fixed.path, fixed.why) for fixed in changed])


def require_kept(steps: Plan, new: Loaded) -> None:
    """Refuses a plan that would lose what a component holds in memory.

    Raises:
        SpecFault: with the place.
    """
    if new.sources is None or new.data["events"]["backend"] != "memory":
        return
    for step in steps.steps:
        if step.id == "events" and step.action == "replace":
            why = f"{step.reason}, and the events of `backend: memory` would be lost"
            raise SpecFault([_refusal(new.sources.declared, ("events", *step.fields[:1]), why)])


def _vault(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    section = (data.get("secrets") or {}).get("vault")
    return section if isinstance(section, dict) else None


def _shown(data: Any, path: Path) -> Any:
    """A value without the credentials in it, which may change."""
    from runtime.assembly.storage import without_credentials

    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return without_credentials(data) if isinstance(data, str) and path[0] == "storage" else data


def _refusal(declared: Declared, path: Path, why: str) -> Diagnostic:
    """A diagnostic at a value, or at the nearest one above it that was written down; else at the file."""
    message = f"cannot change while the environment runs: {why}; {RESTART}"
    source, root = declared.composition.source, declared.composition.place
    if root is None or root.child(path[0]) is None:
        return Diagnostic(source.name, 0, 0, 1, dotted(path), message)
    place = root.at(path)
    return diagnose(place.source, place.value_span(), path, message)
