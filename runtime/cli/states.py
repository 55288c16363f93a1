"""The state folder that a spec names, for the commands that speak with a running environment."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import SpecFault
from runtime.spec.load import declare
from runtime.state import StateFolder, state_folder


def state_of(spec: Path) -> StateFolder:
    """Finds the state folder of a spec; resolves no reference and asks for no valid spec.

    Raises:
        SpecFault: the file cannot be read at all.
    """
    declared = declare(spec)
    if declared.data is None:
        raise SpecFault(declared.diagnostics)
    return state_folder(declared.data, spec.parent)
