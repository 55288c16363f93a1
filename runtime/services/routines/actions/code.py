"""`sandbox.javascript` and `sandbox.python`: untrusted code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault
from runtime.services.routines.spec import PythonStep
from runtime.services.routines.step import StepFailed
from runtime.services.routines.templates import templated

if TYPE_CHECKING:
    from runtime.services.routines.spec import CodeStep
    from runtime.services.routines.step import Scope
    from runtime.services.routines.templates import Compile
    from runtime.services.sandbox.ports import Language

LOST: Final = frozenset({"WorkerLost", "InvalidReply"})
"""Failures that are the sandbox's own."""


class RunCode:
    """Runs a piece of code.

    Raises:
        Fault: its file cannot be read.
    """

    def __init__(self, spec: CodeStep, compiled: Compile) -> None:
        self._language: Language = "python" if isinstance(spec, PythonStep) else "javascript"
        self._file = spec.code_file
        self._memory = spec.memory
        self._input = templated(spec.with_, compiled)
        if spec.code_file is None:
            self._source = spec.code or ""
            return
        try:
            self._source = spec.code_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Fault(f"cannot read {spec.code_file}: {error}", remedy="Correct `code_file` in the spec.") from error

    async def __call__(self, scope: Scope) -> Any:
        done = await scope.job.sandbox.execute(
            self._language, self._source, self._input(scope.variables), memory=self._memory, caller=scope.account
        )
        if done.error is None:
            return done.output
        failure = done.error
        place = ""
        if failure.line is not None:
            place = f" ({self._file.name}:{failure.line})" if self._file else f" (line {failure.line} of its code)"
        raise StepFailed(f"{failure.type}: {failure.message}{place}", passing=failure.type in LOST)
