"""A type of the user's own that JSON values must fit: what makes objects of it, and says what does not fit."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import msgspec

from runtime.errors import Fault, Invalid, Pointer
from runtime.services.document import pointer
from runtime.services.names import unknown

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

_ANYTHING: typing.Final = (dict, dict[str, Any], Any)
"""Types that every object fits."""


class Shape:
    """A dataclass, a msgspec Struct, a pydantic model, a TypedDict or `dict`.

    Args:
        kind: the type.
        origin: where it was written, for messages.
        what: what has to fit, for messages: `payload`; also the pointer under which it stands in a request.
        remedy: what to do where the type cannot be used.

    Raises:
        Fault: values cannot be checked by the type.
    """

    def __init__(self, kind: Any, origin: str, *, what: str, remedy: str) -> None:
        self._type = kind
        self._what = what
        self._at = f"/{what}"
        self._model = hasattr(kind, "model_validate")
        self._anything = kind in _ANYTHING
        if not self._model:
            try:
                if isinstance(msgspec.inspect.type_info(kind), msgspec.inspect.CustomType):
                    raise TypeError("nothing is known of its fields")
                msgspec.convert({}, kind)
            except msgspec.ValidationError:
                pass
            except TypeError as error:
                raise Fault(f"{origin}: {what} cannot be of the type {self.name}: {error}", remedy=remedy) from error

    @property
    def name(self) -> str:
        """What the type is called, for messages."""
        return getattr(self._type, "__name__", None) or str(self._type)

    @property
    def schema(self) -> dict[str, Any]:
        """The type as a JSON Schema."""
        if self._model:
            described: dict[str, Any] = self._type.model_json_schema()
            return described
        (described,), components = msgspec.json.schema_components([self._type], ref_template="#/$defs/{name}")
        if set(described) == {"$ref"}:
            described = components.pop(described["$ref"].removeprefix("#/$defs/"))
        return {**described, "$defs": components} if components else described

    def parse(self, value: Mapping[str, Any]) -> Any:
        """Makes an object of JSON values.

        Raises:
            Invalid: they do not fit; with a pointer to each wrong place that is known.
        """
        if self._anything and isinstance(value, dict):
            return value
        return self._by_model(value) if self._model else self._by_convert(value)

    def _by_convert(self, value: Mapping[str, Any]) -> Any:
        if isinstance(self._type, type) and dataclasses.is_dataclass(self._type):
            names = [field.name for field in dataclasses.fields(self._type) if field.init]
            wrong = [key for key in value if key not in names]
            if wrong:
                errors = [Pointer(pointer(self._at, [key]), f"the {self._what} has no such field") for key in wrong]
                raise Invalid(
                    f'{self.name} has no field "{wrong[0][:100]}"',
                    errors=errors,
                    remedy=unknown("field", wrong[0], names).remedy,
                )
        try:
            return _with_defaults(msgspec.convert(value, self._type))
        except msgspec.ValidationError as error:
            detail, _, path = str(error).partition(" - at `$")
            where = self._at + path.removesuffix("`").replace(".", "/").replace("[", "/").replace("]", "")
            raise Invalid(f"the {self._what} is no {self.name}: {detail}", errors=[Pointer(where, detail)]) from error

    def _by_model(self, value: Mapping[str, Any]) -> Any:
        from pydantic import ValidationError  # imported by the user's model already

        try:
            return self._type.model_validate(value)
        except ValidationError as error:
            found = error.errors(include_url=False)
            wrong = [Pointer(pointer(self._at, entry["loc"]), entry["msg"]) for entry in found]
            raise Invalid(f"the {self._what} is no {self.name}: {wrong[0].detail}", errors=wrong) from error


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
