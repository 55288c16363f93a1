"""What the steps of a routine hand to each other: every name in their expressions must be there when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runtime.spec.diagnostics import quoted
from runtime.spec.expressions import Malformed, Use, uses
from runtime.spec.words import alternatives

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtime.spec.places import Path
    from runtime.spec.view import View

ROOTS = ("input", "steps", "run")
OF_RUN = ("id", "routine", "started_by")
OF_STEP = ("output", "status", "error")

_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": Mapping,
    "array": list,
}


class Dataflow:
    """Looks into the routines of a spec."""

    def __init__(self, view: View) -> None:
        self._view = view

    def check(self) -> None:
        """Every routine whose shape is right; what is wrong with the others is told elsewhere."""
        routines = self._view.data.get("routines")
        for name, routine in _entries(routines):
            path: Path = ("routines", name)
            names = [step for step, _ in _entries(routine.get("steps"))]
            inputs = list(dict(_entries(routine.get("input"), empty=True)))
            self._defaults((*path, "input"), routine.get("input"))
            for place, (step, body) in enumerate(_entries(routine.get("steps"))):
                at = (*path, "steps", step)
                self._step(at, body)
                for key, text, condition in self._templates(at, body):
                    self._expressions(key, text, condition, inputs, names, place)
            output = routine.get("output")
            if isinstance(output, str):
                self._expressions((*path, "output"), output, False, inputs, names, len(names))

    # What is written

    def _templates(self, at: Path, step: Mapping[str, Any]) -> Iterator[tuple[Path, str, bool]]:
        """The texts of a step in which something may be filled in, and whether each is a condition."""
        for path, text in _texts(at, step):
            ends = range(len(path), len(at), -1)
            fields = (self._view.shapes.at(path[:end], self._view.data) for end in ends)
            field = next((each for each in fields if each is not None), None)
            kinds = {leaf.get("x-kind") for leaf in self._view.shapes.leaves(field)} if field is not None else set()
            if kinds & {"template", "condition"}:
                yield path, text, "condition" in kinds

    # Names

    def _expressions(
        self, at: Path, text: str, condition: bool, inputs: Sequence[str], steps: Sequence[str], place: int
    ) -> None:
        if self._view.is_open(text):
            return
        try:
            used = uses(text, condition=condition)
        except Malformed as error:
            self._view.report.add(at, f"this cannot be filled in: {error}")
            return
        for use in used:
            message, near = self._wrong(use, inputs, steps, place)
            if message:
                part = (text, use.offset, use.length) if use.offset >= 0 else None
                self._view.report.add(at, message, near, part=part)

    def _wrong(self, use: Use, inputs: Sequence[str], steps: Sequence[str], place: int) -> tuple[str, str | None]:
        """What is wrong with a name; empty where nothing is."""
        root, *keys = use.parts
        if root not in ROOTS:
            return self._unknown(f"there is no {quoted(root)} here", use, 0, ROOTS)
        if not keys:
            return "", None
        if root == "run":
            return self._unknown(f"a run has no {quoted(keys[0])}", use, 1, OF_RUN)
        if root == "input":
            return self._unknown(f"the routine takes no input {quoted(keys[0])}", use, 1, inputs)
        return self._wrong_step(use, steps, place)

    def _wrong_step(self, use: Use, steps: Sequence[str], place: int) -> tuple[str, str | None]:
        name = use.parts[1]
        if name in steps[:place]:
            if len(use.parts) == 2:
                return "", None
            return self._unknown(f"a step has no {quoted(use.parts[2])}", use, 2, OF_STEP)
        if place < len(steps) and name == steps[place]:
            return f"{quoted(name)} is this step itself; it sees the steps before it", None
        if name in steps:
            return f"the step {quoted(name)} comes later; a step sees those before it", None
        dashed = next((step for step in steps[:place] if step.startswith(f"{name}-")), None)
        if dashed is not None:
            return f"a dash is a minus here; write steps[{quoted(dashed)}]", None
        return self._unknown(f"no step {quoted(name)} comes before", use, 1, steps[:place])

    def _unknown(self, message: str, use: Use, place: int, known: Sequence[str]) -> tuple[str, str | None]:
        if use.parts[place] in known:
            return "", None
        near = self._view.speller.nearest(use.parts[place], known)
        if near is None:
            return f"{message}; there is {alternatives(known) if known else 'none'}", None
        better = ".".join([*use.parts[:place], near, *use.parts[place + 1 :]])
        return f"{message}, did you mean {quoted(near)}?", better

    # Keys that depend on each other

    def _step(self, at: Path, step: Mapping[str, Any]) -> None:
        kind = step.get("uses")
        if kind in ("sandbox.javascript", "sandbox.python"):
            self._one_of(at, step, "code", "code_file")
            self._language(at, str(kind).partition(".")[2])
        elif kind == "ai.chat":
            self._one_of(at, step, "prompt", "messages")

    def _one_of(self, at: Path, step: Mapping[str, Any], first: str, second: str) -> None:
        if bool(step.get(first)) == bool(step.get(second)):
            both = "not both" if step.get(first) else "one of them"
            self._view.report.add((*at, "uses"), f"give this step {first} or {second}, {both}")

    def _language(self, at: Path, language: str) -> None:
        section = self._view.data.get("sandbox")
        if section is None:
            self._view.report.add((*at, "uses"), "this needs the sandbox; declare it with `sandbox: {}`")
            return
        offered = section.get("languages") if isinstance(section, Mapping) else None
        if isinstance(offered, list) and language not in offered:
            self._view.report.add((*at, "uses"), f"the sandbox runs no {language}; add it to sandbox.languages")

    def _defaults(self, at: Path, inputs: Any) -> None:
        for name, declared in _entries(inputs, empty=True):
            kind, default = declared.get("type", "string"), declared.get("default")
            if default is None or kind not in _TYPES or (isinstance(default, str) and self._view.is_open(default)):
                continue
            if not isinstance(default, _TYPES[kind]) or (isinstance(default, bool) and kind != "boolean"):
                self._view.report.add((*at, name, "default"), f"this is no {kind}, as the input's type says")


def _entries(mapping: Any, *, empty: bool = False) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The named entries of a mapping that are mappings themselves; with `empty` those without content too."""
    for name, entry in mapping.items() if isinstance(mapping, Mapping) else ():
        if name.startswith("x-"):
            continue
        if isinstance(entry, Mapping):
            yield name, entry
        elif entry is None and empty:
            yield name, {}


def _texts(at: Path, value: Any) -> Iterator[tuple[Path, str]]:
    """The texts within a value, each with its path."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from _texts((*at, key), below)
    elif isinstance(value, list):
        for place, below in enumerate(value):
            yield from _texts((*at, place), below)
