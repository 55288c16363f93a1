"""The type of a handler's payload: what a job must carry, and how it becomes an object of the user's own class."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from types import SimpleNamespace
from typing import Any

import msgspec

from runtime.errors import Fault, Invalid, Pointer
from runtime.services.document import pointer
from runtime.services.names import unknown

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AT = "/payload"

_ANYTHING: typing.Final = (dict, dict[str, Any], Any)
"""Annotations that every payload fits."""


class PayloadType:
    """What a handler's second parameter is annotated with.

    A dataclass, a msgspec Struct, a pydantic model, a TypedDict or `dict`; without an annotation anything goes.

    Args:
        function: the handler, `f(job, payload: T)`.
        origin: where it was written, for messages.

    Raises:
        Fault: the handler does not take two parameters, or its annotation cannot be found or checked.
    """

    def __init__(self, function: Callable[..., Any], origin: str) -> None:
        self._type = _annotation(function, origin)
        self._model = hasattr(self._type, "model_validate")
        self._anything = self._type in _ANYTHING
        if not self._model:
            try:
                msgspec.convert({}, self._type)
            except msgspec.ValidationError:
                pass
            except TypeError as error:
                raise Fault(
                    f"{origin}: a payload cannot be of the type {_name(self._type)}: {error}",
                    remedy="Annotate `payload` with a dataclass, a msgspec Struct, a pydantic model or dict.",
                ) from error

    @property
    def name(self) -> str:
        """What the type is called, for messages."""
        return _name(self._type)

    def parse(self, payload: Mapping[str, Any]) -> Any:
        """Makes the handler's object of a payload.

        Raises:
            Invalid: the payload does not fit; with a pointer to each wrong place that is known.
        """
        if self._anything and isinstance(payload, dict):
            return payload
        return self._by_model(payload) if self._model else self._by_convert(payload)

    def _by_convert(self, payload: Mapping[str, Any]) -> Any:
        if isinstance(self._type, type) and dataclasses.is_dataclass(self._type):
            names = [field.name for field in dataclasses.fields(self._type) if field.init]
            wrong = [key for key in payload if key not in names]
            if wrong:
                errors = [Pointer(pointer(AT, [key]), "the payload has no such field") for key in wrong]
                raise Invalid(
                    f'{self.name} has no field "{wrong[0][:100]}"',
                    errors=errors,
                    remedy=unknown("field", wrong[0], names).remedy,
                )
        try:
            return _with_defaults(msgspec.convert(payload, self._type))
        except msgspec.ValidationError as error:
            detail, _, path = str(error).partition(" - at `$")
            where = AT + path.removesuffix("`").replace(".", "/").replace("[", "/").replace("]", "")
            raise Invalid(f"the payload is no {self.name}: {detail}", errors=[Pointer(where, detail)]) from error

    def _by_model(self, payload: Mapping[str, Any]) -> Any:
        from pydantic import ValidationError  # imported by the user's model already

        try:
            return self._type.model_validate(payload)
        except ValidationError as error:
            wrong = [Pointer(pointer(AT, entry["loc"]), entry["msg"]) for entry in error.errors(include_url=False)]
            raise Invalid(f"the payload is no {self.name}: {wrong[0].detail}", errors=wrong) from error


def plain(value: Any) -> Any:
    """The JSON values of what a handler returned: of a dataclass, a Struct, a pydantic model, a date, a Decimal.

    Raises:
        TypeError: something in it has no JSON form.
    """
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_model_values)


def _with_defaults(value: Any) -> Any:
    """Stores the plain defaults of dataclasses in their objects; msgspec leaves them to the class, where `vars` and it
    itself do not see them."""
    if dataclasses.is_dataclass(value):
        own = getattr(value, "__dict__", None)
        for field in dataclasses.fields(value):
            if own is not None and field.name not in own:
                own[field.name] = getattr(value, field.name)
            _with_defaults(getattr(value, field.name))
    elif isinstance(value, dict):
        for inner in value.values():
            _with_defaults(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _with_defaults(inner)
    return value


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


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind)
