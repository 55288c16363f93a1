"""Finds the environment that runs a spec on this machine: for the commands and the clients that speak with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from runtime.errors import Fault, NotRunning, SpecFault
from runtime.kernel.lock import Holder, running
from runtime.spec.declare import Declared, declare
from runtime.spec.defaults import filled
from runtime.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Mapping


class Running(NamedTuple):
    """An environment that runs.

    Args:
        holder: who runs it, and where it answers.
        state: its state folder, with the operator's key.
    """

    holder: Holder
    state: StateFolder

    def key(self) -> str:
        """The operator's key.

        Raises:
            Fault: it cannot be read.
        """
        try:
            return self.state.operator_key.read_text().strip()
        except OSError as error:
            raise Fault(
                f"cannot read {self.state.operator_key}: {error.strerror}",
                remedy="Run this as the user who applied the spec.",
            ) from error


def find(spec: Path) -> Running:
    """The environment that runs a spec.

    Raises:
        SpecFault: the spec cannot be read.
        NotRunning: none does, or it is still starting.
    """
    return find_on(state_of(spec), str(spec))


def find_on(state: StateFolder, spec: str) -> Running:
    """The environment that runs on a state folder.

    Args:
        spec: its spec, for the remedy.

    Raises:
        NotRunning: none does, or it is still starting.
    """
    holder = running(state.path)
    if holder is None:
        raise NotRunning(f"{spec} is not running", remedy=f"Start it: runtime apply {spec}")
    if not holder.address:
        raise NotRunning(f"{spec} is still starting (process {holder.pid})", remedy="Try again in a moment.")
    return Running(holder, state)


def state_of(spec: Path) -> StateFolder:
    """Finds the state folder of a spec, which need not be valid in other respects.

    Raises:
        SpecFault: the file cannot be read, or `storage.path` refers to something that is not there.
    """
    return declared_state(declare(spec))


def declared_state(declared: Declared, given: Mapping[str, str] | None = None) -> StateFolder:
    """The state folder of a spec that has been read; raises as `state_of`.

    Args:
        given: variables that come before those of the environment.
    """
    data, diagnostics, composition, shapes = declared
    if data is None:
        raise SpecFault(diagnostics)
    if "${" in str((data.get("storage") or {}).get("path")):
        from runtime.spec.resolve import resolve

        resolution = resolve(composition, shapes, os.environ, given=given, only=("storage", "path"))
        if wrong := [found for found in resolution.diagnostics if found.path == "storage.path"]:
            raise SpecFault(wrong)
        data = filled(resolution.data, shapes.schema)
    return StateFolder.of(data, Path(composition.source.folder))
