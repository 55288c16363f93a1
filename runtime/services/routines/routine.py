"""A routine of the spec, made ready: its templates compiled, its code read, its steps in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from runtime.errors import Fault
from runtime.services.routines.actions.chat import Ask
from runtime.services.routines.actions.code import RunCode
from runtime.services.routines.actions.enqueue import Enqueue
from runtime.services.routines.actions.notify import Tell
from runtime.services.routines.actions.publish import Publish
from runtime.services.routines.actions.request import Call
from runtime.services.routines.adapters.jinja import compiled, condition
from runtime.services.routines.input import json_schema
from runtime.services.routines.ports import RoutineView, StepView
from runtime.services.routines.spec import (
    AnyStep,
    ChatStep,
    EnqueueStep,
    HttpStep,
    InputSpec,
    JavaScriptStep,
    NotifyStep,
    PublishStep,
    PythonStep,
    RoutineSpec,
)
from runtime.services.routines.step import Action, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.services.routines.actions.request import Requests
    from runtime.services.routines.templates import Template


@dataclass(frozen=True, slots=True)
class Routine:
    """A routine that can be run.

    Args:
        output: gives the run's output; None where it has none.
    """

    name: str
    description: str | None
    input: Mapping[str, InputSpec]
    steps: tuple[Step, ...]
    output: Template | None

    @property
    def view(self) -> RoutineView:
        """It as a caller sees it."""
        steps = [StepView(step.name, step.uses) for step in self.steps]
        return RoutineView(self.name, self.description, json_schema(self.input), steps)


def routine(name: str, spec: RoutineSpec, requests: Requests) -> Routine:
    """Makes a routine of its section.

    Args:
        requests: sends the HTTP requests of its steps.

    Raises:
        Fault: an expression, a schema or a file cannot be used; says of which step.
    """
    steps = []
    for step_name, step in spec.steps.items():
        try:
            steps.append(_step(step_name, step, requests))
        except Fault as error:
            raise Fault(f"routines.{name}.steps.{step_name}: {error.message}", remedy=error.remedy) from error
    try:
        output = compiled(spec.output) if spec.output is not None else None
    except Fault as error:
        raise Fault(f"routines.{name}.output: {error.message}", remedy=error.remedy) from error
    return Routine(name, spec.description, spec.input, tuple(steps), output)


def _step(name: str, spec: AnyStep, requests: Requests) -> Step:
    return Step(
        name,
        spec.uses,
        _action(spec, requests),
        condition(spec.if_) if spec.if_ is not None else None,
        spec.timeout,
        spec.retry,
        spec.on_error == "continue",
    )


def _action(spec: AnyStep, requests: Requests) -> Action:
    match spec:
        case JavaScriptStep() | PythonStep():
            return RunCode(spec, compiled)
        case ChatStep():
            return Ask(spec, compiled)
        case NotifyStep():
            return Tell(spec, compiled)
        case EnqueueStep():
            return Enqueue(spec, compiled)
        case PublishStep():
            return Publish(spec, compiled)
        case HttpStep():
            return Call(spec, compiled, requests)
        case _:
            assert_never(spec)
