"""A merged spec that means the same when it is read as one file."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, Any

from runtime.spec.absolute import folder_of
from runtime.spec.check import reference_texts
from runtime.spec.references import parse
from runtime.spec.shapes import is_path

if TYPE_CHECKING:
    from runtime.spec.overlay import Composition
    from runtime.spec.places import Path
    from runtime.spec.shapes import Shapes


def portable(declared: dict[str, Any], composition: Composition, shapes: Shapes) -> dict[str, Any]:
    """A spec as declared, without the folders of the files that it was merged from.

    A path, or a reference to a file, that was written in a file of another folder than the root spec's starts from
    there. Here it is made absolute, so that the whole may stand in one file beside the root spec.

    Args:
        declared: plain data, defaults filled in, references as they were written; not changed.
    """
    root = composition.source.folder
    if all(os.path.dirname(file) == root for file in composition.files):
        return declared
    data: dict[str, Any] = _copied(declared)
    for path, text in list(reference_texts(data, shapes)):
        if (folder := folder_of(path, composition)) != root:
            _put(data, path, _with_absolute_files(text, folder))
    for mark in list(shapes.marked(data, is_path)):
        folder = root if mark.leaf.get("x-base") == "root" else folder_of(mark.path, composition)
        if folder != root and isinstance(mark.value, str) and not mark.value.startswith("${"):
            _put(data, mark.path, os.path.normpath(os.path.join(folder, mark.value)))
    return data


def _with_absolute_files(text: str, folder: str) -> str:
    """A text whose references to files start from the root of the disk."""
    for reference in reversed(parse(text).references):
        if reference.kind == "file" and not os.path.isabs(reference.name):
            end = reference.offset + reference.length
            written = text[reference.offset : end]
            name = os.path.normpath(os.path.join(folder, reference.name))
            text = text[: reference.offset] + written.replace(reference.name, name, 1) + text[end:]
    return text


def _put(data: Any, path: Path, value: Any) -> None:
    for part in path[:-1]:
        data = data[part]
    data[path[-1]] = value


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(below) for key, below in value.items()}
    return [_copied(below) for below in value] if isinstance(value, list) else value
