"""The type of a handler's payload: what a job must carry, and how it becomes an object of the user's own class."""

from __future__ import annotations

import inspect
import typing
from types import SimpleNamespace
from typing import Any

import msgspec

from runtime.errors import Fault
from runtime.services.shape import Shape

if typing.TYPE_CHECKING:
    from collections.abc import Callable


AT = "/payload"
"""Where a payload stands in a request, as a JSON pointer."""


class PayloadType(Shape):
    """What a handler's second parameter is annotated with; without an annotation anything goes.

    Args:
        function: the handler, `f(job, payload: T)`.
        origin: where it was written, for messages.

    Raises:
        Fault: the handler does not take two parameters, or its annotation cannot be found or checked.
    """

    def __init__(self, function: Callable[..., Any], origin: str) -> None:
        remedy = "Annotate `payload` with a dataclass, a msgspec Struct, a pydantic model or dict."
        super().__init__(_annotation(function, origin), origin, what="payload", remedy=remedy)


def plain(value: Any) -> Any:
    """The JSON values of what a handler returned: of a dataclass, a Struct, a pydantic model, a date, a Decimal.

    Raises:
        TypeError: something in it has no JSON form.
    """
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_model_values)


def _model_values(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"{type(value).__name__} has no JSON form")
    return dump(mode="json")


def _annotation(function: Callable[..., Any], origin: str) -> Any:
    parameters = list(inspect.signature(function).parameters.values())
    takes_two = len(parameters) >= 2 and all(
        parameter.default is not inspect.Parameter.empty for parameter in parameters[2:]
    )
    if not takes_two:
        raise Fault(
            f"{origin}: a task takes the job and its payload, {getattr(function, '__name__', 'it')} does not",
            remedy="Write it as `async def f(job: JobContext, payload: dict)`.",
        )
    second = parameters[1]
    if second.annotation is inspect.Parameter.empty:
        return dict[str, Any]
    # Only this one annotation: `job: JobContext` may well be imported for type checkers alone.
    alone = SimpleNamespace(__annotations__={second.name: second.annotation})
    try:
        return typing.get_type_hints(alone, getattr(inspect.unwrap(function), "__globals__", {}))[second.name]
    except NameError as error:
        raise Fault(
            f"{origin}: the type of its payload is not to be found: {error}",
            remedy="Import the type where the task's module is imported, not only under TYPE_CHECKING.",
        ) from error
