"""From a file to a typed spec: read, merge, check, resolve, fill in, type."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import SpecFault
from runtime.spec.declare import Declared, declare
from runtime.spec.defaults import filled
from runtime.spec.diagnostics import Diagnostic, ordered
from runtime.spec.places import Path as Keys
from runtime.spec.places import diagnose
from runtime.spec.redact import redacted
from runtime.spec.resolve import resolve
from runtime.spec.shapes import is_path

__all__ = ["Declared", "Loaded", "declare", "load"]

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError

    from runtime.spec.overlay import Composition
    from runtime.spec.root import Spec
    from runtime.spec.shapes import Shapes


@dataclass(frozen=True, slots=True)
class Loaded:
    """A spec that is ready to run.

    Args:
        spec: the typed spec; its paths are absolute.
        data: plain data, defaults filled in and references resolved: it holds secrets.
        declared: plain data, defaults filled in, references as they were written.
        shown: the same with the secrets that stand in it masked, for whoever may look.
        plugins: each module of `plugins` with the folder of the file that names it.
        secrets: every secret text in `data`, for redaction.
        root: the folder of the root spec.
        file: the root spec.
        warnings: what deserves a look but stops nothing.
    """

    spec: Spec = field(repr=False)
    data: dict[str, Any] = field(repr=False)
    declared: dict[str, Any] = field(repr=False)
    shown: dict[str, Any] = field(repr=False)
    plugins: tuple[tuple[str, Path], ...]
    secrets: frozenset[str] = field(repr=False)
    root: Path
    file: Path
    warnings: tuple[Diagnostic, ...] = ()


def load(path: str | os.PathLike[str], environ: Mapping[str, str] = os.environ) -> Loaded:
    """Reads a spec with all that it extends and refers to.

    Args:
        path: the file; `-` is standard input.
        environ: the environment variables that references are resolved from.

    Raises:
        SpecFault: it is wrong, or a reference cannot be resolved; carries every diagnostic.

    Example:
        >>> load("specs/development.yaml").spec.api.port
        8080
    """
    declared, found, composition, shapes = declare(path)
    _stop_at_errors(found)
    resolution = resolve(composition, shapes, environ)
    _stop_at_errors(resolution.diagnostics)
    data = _with_absolute_paths(filled(resolution.data, shapes.schema), composition, shapes)
    return Loaded(
        spec=_typed(data, composition, resolution.secrets),
        data=data,
        declared=declared or {},
        shown=redacted(declared or {}, shapes),
        plugins=tuple(
            (module, Path(_folder(("plugins", number), composition))) for number, module in enumerate(data["plugins"])
        ),
        secrets=resolution.secrets,
        root=Path(composition.source.folder),
        file=Path(composition.source.file),
        warnings=tuple(warning for warning in found if warning.severity == "warning"),
    )


def _stop_at_errors(diagnostics: list[Diagnostic]) -> None:
    errors = [diagnostic for diagnostic in diagnostics if diagnostic.severity == "error"]
    if errors:
        raise SpecFault(errors)


def _with_absolute_paths(data: dict[str, Any], composition: Composition, shapes: Shapes) -> dict[str, Any]:
    """Paths start from the folder of the file in which they were written; defaults from the root spec's."""
    root = composition.source.folder
    for mark in shapes.marked(data, is_path):
        folder = root if mark.leaf.get("x-base") == "root" else _folder(mark.path, composition)
        holder: Any = data
        for part in mark.path[:-1]:
            holder = holder[part]
        holder[mark.path[-1]] = os.path.normpath(Path(folder, mark.value))
    return data


def _folder(path: Keys, composition: Composition) -> str:
    place = composition.place
    for part in path:
        place = place.child(part) if place is not None else None
    return place.source.folder if place is not None else composition.source.folder


def _typed(data: dict[str, Any], composition: Composition, secrets: frozenset[str]) -> Spec:
    from pydantic import ValidationError

    from runtime.spec.root import Spec

    try:
        return Spec.model_validate(data)
    except ValidationError as error:
        raise SpecFault(ordered(_untyped(error, data, composition, secrets), composition.source.name)) from None


def _untyped(
    error: ValidationError, data: dict[str, Any], composition: Composition, secrets: frozenset[str]
) -> list[Diagnostic]:
    """What only the models know, with the place where it was written."""
    found: list[Diagnostic] = []
    for wrong in error.errors(include_url=False, include_context=False, include_input=False):
        path = _keys(wrong["loc"], data)
        place = composition.place.at(path) if composition.place else None
        if place is None:
            continue
        message = wrong["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        for secret in secrets:
            message = message.replace(secret, "***")
        found.append(diagnose(place.source, place.value_span(), path, message, secrets=secrets))
    return found


def _keys(location: tuple[str | int, ...], data: Any) -> Keys:
    """The keys of the file in a location of the models, which also names the alternatives of a union."""
    path: list[str | int] = []
    for part in location:
        known = data if isinstance(data, dict) else dict(enumerate(data)) if isinstance(data, list) else {}
        if part in known:
            data = known[part]
            path.append(part)
    return tuple(path)
