"""A spec as it was written, for commands that show it: merged and filled in, its references left alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.errors import SpecFault
from runtime.spec.check import check
from runtime.spec.collector import Paused
from runtime.spec.defaults import filled
from runtime.spec.overlay import compose
from runtime.spec.shapes import Shapes, load_schema

if TYPE_CHECKING:
    from runtime.spec.diagnostics import Diagnostic
    from runtime.spec.overlay import Composition


class Declared(NamedTuple):
    """A spec as it was written.

    Args:
        data: plain data, merged, with its defaults and built-in queues; None where the files could not be read.
        diagnostics: everything that is wrong with it.
        composition: the files, and where each value stands.
        shapes: the schema.
    """

    data: dict[str, Any] | None
    diagnostics: list[Diagnostic]
    composition: Composition
    shapes: Shapes

    def checked(self) -> dict[str, Any]:
        """The data of a spec without errors.

        Raises:
            SpecFault: it has some.
        """
        errors = [found for found in self.diagnostics if found.severity == "error"]
        if errors or self.data is None:
            raise SpecFault(errors)
        return self.data


def declare(path: str | os.PathLike[str], *, text: str | None = None) -> Declared:
    """Reads and checks a spec; resolves nothing and never raises for what stands in it.

    Args:
        path: the file; `-` is standard input.
        text: what counts as the file's content, in place of what stands there.

    Example:
        >>> declare("specs/production.yaml").data["api"]["port"]
        '${PORT:-8080}'
    """
    shapes = Shapes(load_schema())
    with Paused():
        composition = compose(os.fspath(path), text=text)
        data = filled(composition.data, shapes.schema) if composition.whole else None
        return Declared(data, check(composition, shapes), composition, shapes)
