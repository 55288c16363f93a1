"""What other services and the user's own tasks may use of the sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Language = Literal["javascript", "python"]
Status = Literal["ok", "error", "timeout", "memory", "rejected"]


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the captured console.

    Args:
        level: `log`, `info`, `warn`, `error`, `debug` of JavaScript; `stdout`, `stderr` of Python.
    """

    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no output.

    Args:
        type: the exception's class in the user's code, or ours: `Timeout`, `OutOfMemory`, `OutputError`, `Crash`,
            `Violation`, `WorkerLost`, `InvalidReply`, `Rejected`.
        line: in the user's own source, from 1; None where none is to blame.
    """

    type: str
    message: str
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """What came of a piece of code.

    Args:
        status: `ok`; `error` (the code is at fault); `timeout` and `memory` (it met a limit); `rejected` (it was not
            run).
        output: its result, JSON values; what JSON lacks is tagged: `{"$date": …}`, `{"$map": [[k, v]]}`,
            `{"$set": [v]}`, `{"$bytes": base64}`, `{"$bigint": digits}`, `{"$number": "NaN"}`.
        logs: its console, cut at `sandbox.output`.
        error: None when the status is `ok`.
        duration_ms: how long it ran, without its wait for a worker.
        memory_peak: bytes, as far as the engine tells.
        logs_cut: whether the console was longer.
    """

    status: Status
    output: Any = None
    logs: list[LogLine] = field(default_factory=list)
    error: Failure | None = None
    duration_ms: float = 0.0
    memory_peak: int = 0
    logs_cut: bool = False


class Sandbox(Protocol):
    """Runs untrusted code: no files, no network, no environment, no process; a fresh state each time."""

    async def execute(
        self,
        language: Language,
        code: str,
        input: Any = None,  # noqa: A002 - the name that the code sees
        *,
        memory: int | None = None,
        timeout: float | None = None,
        caller: str = "",
    ) -> Execution:
        """Runs code and returns what came of it; its faults are told, never raised.

        Args:
            code: JavaScript: an expression, a script whose last expression is the result, the body of an async
                function, or a function of `input`. Python: its last expression, `result`, or `main(input)`.
            input: JSON values, or tagged ones as in `Execution.output`.
            memory: bytes, at most those of the spec.
            timeout: seconds, at most those of the spec.
            caller: whose turn it is; waiting callers are served in turn.

        Raises:
            Invalid: the spec does not offer the language, or the input is no JSON.
            TooMany: too much waits already.
            NotReady: the language is still being prepared, or cannot be had on this machine.

        Example:
            >>> (await sandbox.execute("python", "sum(input)", [1, 2, 3])).output        # doctest: +SKIP
            6
        """
        ...
