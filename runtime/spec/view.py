"""One composition as its checks see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runtime.spec.defaults import with_built_in
from runtime.spec.suggest import Speller

if TYPE_CHECKING:
    from collections.abc import Collection

    from runtime.spec.overlay import Composition
    from runtime.spec.places import Path
    from runtime.spec.report import Report
    from runtime.spec.shapes import Shapes


class View:
    """The data under check, where it was written, and where to tell what is wrong.

    Args:
        composition: the merged files.
        shapes: the schema.
        report: takes the diagnostics.
        resolved: the data with its references resolved; without it they stand as they were written.
    """

    def __init__(
        self, composition: Composition, shapes: Shapes, report: Report, resolved: dict[str, Any] | None = None
    ) -> None:
        self.composition = composition
        self.shapes = shapes
        self.report = report
        self.speller = Speller()
        self.written = composition.data if resolved is None else resolved
        queues = shapes.mapping(shapes.schema["properties"]["queues"], {}) or {}
        self.data = with_built_in(self.written, queues["x-built-in"], shapes.schema["properties"])
        self._resolved = resolved is not None
        self._names: dict[str, Collection[str] | None] = {}

    def is_open(self, value: str) -> bool:
        """Whether a value is still a reference, so that nothing is known of it."""
        return not self._resolved and "${" in value

    def entries(self, target: str) -> Collection[str] | None:
        """The names under a dotted path, such as `ai.chains`.

        None where what stands there is no mapping, which is an error by itself.
        """
        if target not in self._names:
            self._names[target] = self.keys(tuple(target.split(".")))
        return self._names[target]

    def keys(self, path: Path) -> Collection[str] | None:
        """The same of a path in parts, for names that hold dots."""
        value: Any = self.data
        for part in path:
            if value is None:
                return ()
            if not isinstance(value, Mapping):
                return None
            value = value.get(part)
        if value is None:
            return ()
        return [key for key in value if not key.startswith("x-")] if isinstance(value, Mapping) else None

    def value(self, path: Path) -> Any:
        """What stands at a path; None where nothing does."""
        value: Any = self.data
        for part in path:
            if isinstance(part, int):
                value = value[part] if isinstance(value, list) and part < len(value) else None
            else:
                value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def folder(self, path: Path) -> str:
        """The folder of the file in which a value was written."""
        place = self.composition.place
        return place.at(path).source.folder if place is not None else self.composition.source.folder
