"""Calls to a running environment over HTTP, with its operator's key."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from http.client import HTTPResponse
    from pathlib import Path

    from runtime.running import Running

PATIENCE: Final = 5.0


class Caller:
    """Calls an environment that runs.

    Args:
        environment: who runs it, where it answers, and its state folder with the key.
    """

    def __init__(self, environment: Running) -> None:
        self.holder = environment.holder
        self._environment = environment

    @classmethod
    def of(cls, spec: Path) -> Caller:
        """The environment that runs a spec; raises as `runtime.running.find` does."""
        from runtime.running import find

        return cls(find(spec))

    def get(self, path: str) -> Any:
        """What a path answers, parsed; raises as `opened` does."""
        with self.opened("GET", path) as answer:
            return self.parsed(answer)

    def post(self, path: str, body: Any = None) -> Any:
        """What a path answers to a body, parsed; raises as `opened` does."""
        with self.opened("POST", path, body) as answer:
            return self.parsed(answer)

    @contextmanager
    def opened(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        patience: float = PATIENCE,
    ) -> Iterator[HTTPResponse]:
        """The answer of a path, to be read by the caller.

        Args:
            patience: seconds that a read may wait.

        Raises:
            Unreachable: it does not answer, or breaks off.
            Fault: it refuses, in its own words, or the key cannot be read.
        """
        request = urllib.request.Request(self.holder.address + path, method=method)  # noqa: S310 - our loopback address
        request.add_header("Authorization", f"Bearer {self._environment.key()}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=patience) as answer:  # noqa: S310
                yield answer
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error, f"{self.holder.address}{path}") from error
        except BrokenPipeError:
            raise  # of whoever reads what the command prints
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from error

    def parsed(self, answer: HTTPResponse) -> Any:
        """What an answer says.

        Raises:
            Unreachable: it breaks off, or is no JSON.
        """
        try:
            return json.load(answer)
        except ValueError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(str(self._environment.state.path), self.holder.address, str(error))


def _refusal(error: urllib.error.HTTPError, address: str) -> Fault:
    """What the environment itself says of its refusal, place by place."""
    try:
        problem = json.load(error)
        message = "\n  ".join([problem["detail"], *map(_place, problem.get("errors", ()))])
        fault = Fault(message, remedy=problem.get("remedy", ""))
        if error.code == Unreachable.status:
            fault.exit_code = Unreachable.exit_code
        return fault
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return Fault(f"{address} answered {error.code} {error.reason}")


def _place(place: Mapping[str, Any]) -> str:
    """A wrong place of the request by its pointer, one of a spec by its line."""
    where = place["pointer"]
    if "file" in place:
        line = f":{place['line']}:{place['column']}" if "line" in place else ""
        where = f"{place['file']}{line}: {where.strip('/').replace('/', '.')}"
    return f"{where}: {place['detail']}"
