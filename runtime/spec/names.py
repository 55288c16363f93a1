"""Names in a spec that must exist elsewhere in it: queues, channels, providers, streams, events, paths of Vault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.spec.diagnostics import printable, quoted

if TYPE_CHECKING:
    from collections.abc import Collection

    from runtime.spec.places import Path
    from runtime.spec.references import Reference
    from runtime.spec.shapes import Marked
    from runtime.spec.view import View

FUNCTIONS = ("handlers", "subscribers")
"""Targets of `x-ref` that are functions of plugins; `runtime.spec.handlers` looks for them."""


class Names:
    """Looks names up."""

    def __init__(self, view: View) -> None:
        self._view = view

    def check(self, mark: Marked) -> None:
        """One text whose field has an `x-ref`."""
        target = mark.leaf["x-ref"]
        if target == "ai.models":
            self._declared(mark, "ai.providers", mark.value.partition("/")[0])
        elif target == "events.types":
            self._event_type(mark)
        elif target not in FUNCTIONS:
            self._declared(mark, target, mark.value)

    def _declared(self, mark: Marked, target: str, name: str) -> None:
        names = self._view.entries(target)
        if names is None or name in names or not name:
            return
        kind = _singular(target)
        near = self._view.speller.nearest(name, names)
        message = f"no {kind} {quoted(name)} is declared under {target}"
        better = f"{near}{mark.value[len(name) :]}" if near else None
        if near:
            message += f", did you mean {quoted(near)}?"
        elif names:
            message += f"; there are {', '.join(sorted(map(printable, names))[:12])}"
        self._view.report.add(mark.path, message, better, on_key=mark.on_key)

    def _event_type(self, mark: Marked) -> None:
        """A type must be one of the stream that stands beside it."""
        *above, _ = mark.path if not isinstance(mark.path[-1], int) else mark.path[:-1]
        beside = self._view.value(tuple(above))
        stream = beside.get("stream") if isinstance(beside, dict) else None
        if not isinstance(stream, str) or stream not in (self._view.entries("events.streams") or ()):
            return
        types = self._view.keys(("events", "streams", stream, "events"))
        if types is None or mark.value in types:
            return
        near = self._view.speller.nearest(mark.value, types)
        others = [
            name for name in self._view.entries("events.streams") or () if mark.value in (self._types(name) or ())
        ]
        message = f"the stream {quoted(stream)} has no event {quoted(mark.value)}"
        if near:
            message += f", did you mean {quoted(near)}?"
        elif others:
            message += f"; it belongs to the stream {quoted(others[0])}"
        self._view.report.add(mark.path, message, near)

    def _types(self, stream: str) -> Collection[str] | None:
        return self._view.keys(("events", "streams", stream, "events"))

    def vault(self, path: Path, text: str, reference: Reference) -> None:
        """A reference into Vault that stands in a text."""
        paths = self._view.entries("secrets.vault.paths")
        part = (text, reference.offset, reference.length)
        if self._view.value(("secrets", "vault")) is None:
            self._view.report.add(path, "this needs Vault, and there is no section secrets.vault", part=part)
        elif "/" not in reference.name and paths is not None and reference.name not in paths:
            near = self._view.speller.nearest(reference.name, paths)
            message = f"no path {quoted(reference.name)} is declared under secrets.vault.paths"
            hint = f", did you mean {quoted(near)}?" if near else "; a raw path has a slash, secret/data/app"
            self._view.report.add(path, message + hint, near, part=part)


def _singular(target: str) -> str:
    name = target.rpartition(".")[2]
    return f"{name[:-3]}y" if name.endswith("ies") else name.removesuffix("s")
