"""The state folder that a spec names, for the commands that speak with a running environment."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.errors import SpecFault
from runtime.spec.declare import declare
from runtime.spec.defaults import filled
from runtime.state import StateFolder


def state_of(spec: Path) -> StateFolder:
    """Finds the state folder of a spec, which need not be valid in other respects.

    Raises:
        SpecFault: the file cannot be read, or `storage.path` refers to something that is not there.
    """
    data, diagnostics, composition, shapes = declare(spec)
    if data is None:
        raise SpecFault(diagnostics)
    if "${" in str((data.get("storage") or {}).get("path")):
        from runtime.spec.resolve import resolve

        resolution = resolve(composition, shapes, os.environ, only=("storage", "path"))
        if wrong := [found for found in resolution.diagnostics if found.path == "storage.path"]:
            raise SpecFault(wrong)
        data = filled(resolution.data, shapes.schema)
    return StateFolder.of(data, Path(composition.source.folder))
