"""Paths of a spec, made absolute."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, Any

from runtime.spec.shapes import is_path

if TYPE_CHECKING:
    from runtime.spec.overlay import Composition
    from runtime.spec.places import Path
    from runtime.spec.shapes import Shapes


def absolute(data: dict[str, Any], composition: Composition, shapes: Shapes) -> dict[str, Any]:
    """Changes the paths of resolved data in place, and returns it.

    They start from the folder of the file in which they were written; defaults from the root spec's.
    """
    root = composition.source.folder
    for mark in shapes.marked(data, is_path):
        folder = root if mark.leaf.get("x-base") == "root" else folder_of(mark.path, composition)
        holder: Any = data
        for part in mark.path[:-1]:
            holder = holder[part]
        holder[mark.path[-1]] = os.path.normpath(os.path.join(folder, mark.value))
    return data


def folder_of(path: Path, composition: Composition) -> str:
    """The folder of the file in which a value was written; the root spec's for a default."""
    place = composition.place
    for part in path:
        place = place.child(part) if place is not None else None
    return place.source.folder if place is not None else composition.source.folder
