"""Calls to the running environment over its own HTTP API, for the commands that ask it or tell it something."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from runtime.errors import Fault, NotRunning, Unreachable
from runtime.kernel.lock import Holder, running

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.state import StateFolder

PATIENCE = 10.0
"""Seconds that an answer may take."""


class Environment:
    """The running environment of a spec, called with its operator's key.

    Args:
        spec: the spec that was applied.

    Raises:
        SpecFault: the file cannot be read.
        NotRunning: it does not run, or not yet.
        Fault: the operator's key cannot be read.
    """

    def __init__(self, spec: Path) -> None:
        from runtime.cli.states import state_of

        self.state: StateFolder = state_of(spec)
        self.holder = _holder(spec, self.state)
        try:
            self._key = self.state.operator_key.read_text().strip()
        except OSError as error:
            raise Fault(
                f"cannot read {self.state.operator_key}: {error.strerror}",
                remedy="Run this as the user who applied the spec.",
            ) from error

    def get(self, path: str) -> Any:
        """The JSON that a path answers with.

        Raises:
            Unreachable: the environment does not answer.
            Fault: it refuses, in its own words.
        """
        return self._call("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """Posts JSON, and returns the JSON of the answer; raises as `get` does."""
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(self.holder.address + path, method=method)  # noqa: S310 - our own address
        request.add_header("Authorization", f"Bearer {self._key}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(f"{self.holder.address}{path}", error) from error
        except (OSError, ValueError) as error:
            raise Unreachable(str(self.state.path), self.holder.address, str(error)) from error


def _holder(spec: Path, state: StateFolder) -> Holder:
    holder = running(state.path)
    if holder is None:
        raise NotRunning(f"{spec} is not running", remedy=f"Start it: runtime apply {spec}")
    if not holder.address:
        raise NotRunning(f"{spec} is still starting (process {holder.pid})", remedy="Try again in a moment.")
    return holder


def _refusal(address: str, error: urllib.error.HTTPError) -> Fault:
    """What the environment says of a request that it refuses."""
    try:
        problem = json.load(error)
        places = [f"{place['pointer']}: {place['detail']}" for place in problem.get("errors", [])]
        return Fault("\n  ".join([problem["detail"], *places]), remedy=problem.get("remedy") or "")
    except (ValueError, KeyError, TypeError, OSError):
        return Fault(f"{address} answered {error.code} {error.reason}")
