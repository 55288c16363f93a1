"""Handlers and subscribers that a spec names must be built in, or marked in one of its plugins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.spec.diagnostics import quoted
from runtime.spec.places import diagnose

if TYPE_CHECKING:
    from collections.abc import Collection

    from runtime.spec.marks import Kind, Marks
    from runtime.spec.places import Path
    from runtime.spec.shapes import Marked
    from runtime.spec.view import View


class Handlers:
    """Looks functions up in the plugins' source, which is read only where there are plugins or unknown names."""

    def __init__(self, view: View) -> None:
        self._view = view

    def check(self, marked: list[Marked]) -> None:
        """All texts that name a function, and the plugins themselves."""
        schema = self._view.shapes.schema
        known = {
            "handlers": frozenset(schema.get("x-built-in-handlers", ())),
            "subscribers": frozenset(schema.get("x-built-in-subscribers", ())),
        }
        plugins = self._view.data.get("plugins")
        plugins = plugins if isinstance(plugins, list) else []
        unknown = [mark for mark in marked if mark.value and mark.value not in known[mark.leaf["x-ref"]]]
        if not plugins and not unknown:
            return
        from runtime.spec.marks import Marks

        marks = Marks([self._view.folder(("plugins", index)) for index in range(len(plugins))])
        for index, module in enumerate(plugins):
            if isinstance(module, str) and module and not self._view.is_open(module) and not marks.add(module):
                self._missing_plugin(("plugins", index), module)
        for wrong in marks.wrong:
            self._view.report.diagnostics.append(diagnose(wrong.source, wrong.where, (), wrong.message))
        kinds: dict[str, Kind] = {"handlers": "task", "subscribers": "subscriber"}
        unknown = [m for m in unknown if m.value not in marks.names(kinds[m.leaf["x-ref"]])]
        if unknown:
            _add_installed(marks)
        whole = marks.certain and not any(isinstance(module, str) and self._view.is_open(module) for module in plugins)
        for mark in unknown if not marks.wrong else ():
            kind = kinds[mark.leaf["x-ref"]]
            if mark.value not in marks.names(kind):
                self._unknown_handler(mark, kind, known[mark.leaf["x-ref"]] | marks.names(kind), certain=whole)

    def _unknown_handler(self, mark: Marked, kind: str, names: Collection[str], *, certain: bool) -> None:
        if not certain:
            message = f"no @{kind}({quoted(mark.value)}) is seen in the plugins, which name some only when they run"
            self._view.report.add(mark.path, message, severity="warning")
            return
        near = self._view.speller.nearest(mark.value, names)
        message = f"no @{kind}({quoted(mark.value)}) in the plugins, and none of that name is built in"
        hint = f", did you mean {quoted(near)}?" if near else '; name the module that has it under "plugins"'
        self._view.report.add(mark.path, message + hint, near)

    def _missing_plugin(self, path: Path, module: str) -> None:
        folder = self._view.folder(path)
        try:
            beside = [name.removesuffix(".py") for name in os.listdir(folder)[:1000] if name.endswith(".py")]
        except OSError:
            beside = []
        near = self._view.speller.nearest(module, beside)
        hint = f", did you mean {quoted(near)}?" if near else f"; create {module.replace('.', '/')}.py there"
        self._view.report.add(path, f"no module {quoted(module)} beside the spec or installed{hint}", near)


def _add_installed(marks: Marks) -> None:
    """Plugins that installed packages bring by themselves; looked at only where a name is still missing."""
    from importlib.metadata import entry_points

    for entry in entry_points(group="runtime.plugins"):
        marks.add(entry.module)
